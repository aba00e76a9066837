package codec

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// The words of date/time texts, in lower case.
type timeWord struct {
	kind  wordKind
	value int64
}

type wordKind uint8

const (
	wordMonth   wordKind = iota // value 1…12
	wordDay                     // of the week, which says nothing
	wordFiller                  // at, on
	wordHalf                    // value 'a' or 'p'
	wordEra                     // value 1: BC
	wordLabel                   // what the next number is: value is one of the labels
	wordISOTime                 // T
	wordSummer                  // DST: an hour more
	wordMoment                  // a moment by name
)

// Labels of numbers, as in y2001m02d04.
const (
	labelYear   = 'y'
	labelMonth  = 'm'
	labelDay    = 'd'
	labelHour   = 'h'
	labelMinute = 'n'
	labelSecond = 's'
	labelJulian = 'j'
	labelClock  = 't'
	labelNone   = '-' // a label that no number may follow
)

var timeWords = func() map[string]timeWord {
	m := map[string]timeWord{
		"dst": {wordSummer, 3600}, "t": {wordISOTime, labelClock}, "ad": {wordEra, 0}, "bc": {wordEra, 1}, "am": {wordHalf, 'a'}, "pm": {wordHalf, 'p'},
		"y": {wordLabel, labelYear}, "m": {wordLabel, labelMonth}, "d": {wordLabel, labelDay}, "h": {wordLabel, labelHour}, "mm": {wordLabel, labelMinute},
		"s": {wordLabel, labelSecond}, "j": {wordLabel, labelJulian}, "jd": {wordLabel, labelJulian}, "julian": {wordLabel, labelJulian},
		"isoyear": {wordLabel, labelNone},
	}
	for i, names := range []string{"jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
		"sep sept september", "oct october", "nov november", "dec december"} {
		for _, w := range strings.Fields(names) {
			m[w] = timeWord{wordMonth, int64(i + 1)}
		}
	}
	for kind, words := range map[wordKind]string{
		wordDay:    "sun sunday mon monday tue tues tuesday wed weds wednesday thu thur thurs thursday fri friday sat saturday",
		wordFiller: "at on", wordMoment: "-infinity allballs dow doy epoch infinity isodow now today tomorrow yesterday",
	} {
		for _, w := range strings.Fields(words) {
			m[w] = timeWord{kind: kind}
		}
	}
	return m
}()

// zoneAbbreviations are those of PostgreSQL's default set that always mean one offset, in seconds east.
var zoneAbbreviations = func() map[string]int {
	m := map[string]int{}
	for offset, names := range map[int]string{
		-36000: "hst taht",
		-34200: "mart",
		-32400: "akst gamt",
		-28800: "akdt pst",
		-25200: "mst pdt",
		-21600: "cst mdt galt",
		-18000: "act cot cdt est pet",
		-14400: "bot edt amt ast",
		-12600: "nft nst",
		-10800: "bra brt clst gft pmst pyst uyt wgt adt",
		-9000:  "ndt",
		-7200:  "brst fnt pmdt uyst wgst",
		-3600:  "egt fnst azot",
		0:      "egst azost gmt uct ut utc z zulu wet",
		3600:   "wat bst cet met mez wetdst",
		7200:   "sast ist bdst cest cetdst eet mest mesz metdst",
		10800:  "eat idt eest eetdst fet",
		12600:  "irt",
		14400:  "msd mut ret sct",
		16200:  "aft",
		18000:  "pkt tjt uzt must mvt tft",
		20700:  "npt",
		21600:  "almt bdt btt kgst pkst uzst xjt yekst",
		23400:  "mmt",
		25200:  "almst ict wast cxt",
		28800:  "bnt bort cct hkt myt pht awst wadt",
		31500:  "acwst",
		32400:  "jayt jst kst ulast awsst wdt pwt",
		34200:  "acst cast",
		36000:  "ddut kdt aest ligt chut mpt pgt trut yapt",
		37800:  "acsst acdt cadt lhst sadt",
		39600:  "aesst aedt pont vut",
		43200:  "nzt fjt gilt mht nzst tvt wakt wft",
		45900:  "chast",
		46800:  "fjst nzdt tot",
		49500:  "chadt",
	} {
		for _, w := range strings.Fields(names) {
			m[w] = offset
		}
	}
	return m
}()

// summerAbbreviations are those of zoneAbbreviations that mean summer time already, so that DST cannot follow.
var summerAbbreviations = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields("akdt brst cdt clst edt egst fnst mdt ndt pdt pmdt pyst uyst wgst almst idt kdt kgst pkst ulast uzst yekst adt azost " +
		"acsst acdt aesst aedt awsst cadt sadt wadt wdt bst bdst cest cetdst eest eetdst mest mesz metdst msd wetdst must chadt fjst nzdt") {
		m[w] = true
	}
	return m
}()

// movingAbbreviations are those that meant several offsets over the years, by their zone.
var movingAbbreviations = func() map[string]string {
	m := map[string]string{}
	for zone, names := range map[string]string{
		"America/Argentina/Buenos_Aires": "art arst",
		"America/Asuncion":               "pyt",
		"America/Caracas":                "vet",
		"America/Guyana":                 "gyt",
		"America/Santiago":               "clt",
		"Antarctica/Davis":               "davt",
		"Antarctica/Mawson":              "mawt",
		"Asia/Anadyr":                    "anast anat",
		"Asia/Ashgabat":                  "tmt",
		"Asia/Baku":                      "azst azt",
		"Asia/Bishkek":                   "kgt",
		"Asia/Colombo":                   "lkt",
		"Asia/Irkutsk":                   "irkst irkt",
		"Asia/Kamchatka":                 "petst pett",
		"Asia/Krasnoyarsk":               "krast krat",
		"Asia/Magadan":                   "magst magt",
		"Asia/Novosibirsk":               "novst novt",
		"Asia/Omsk":                      "omsst omst",
		"Asia/Singapore":                 "sgt",
		"Asia/Tbilisi":                   "gest get",
		"Asia/Ulaanbaatar":               "ulat",
		"Asia/Vladivostok":               "vlast vlat",
		"Asia/Yakutsk":                   "yakst yakt",
		"Asia/Yekaterinburg":             "yekt",
		"Asia/Yerevan":                   "amst",
		"Atlantic/Stanley":               "fkst fkt",
		"Australia/Lord_Howe":            "lhdt",
		"Europe/Moscow":                  "msk",
		"Europe/Volgograd":               "volt",
		"Indian/Chagos":                  "iot",
		"Pacific/Easter":                 "easst east",
		"Pacific/Fakaofo":                "tkt",
		"Pacific/Kiritimati":             "lint",
		"Pacific/Kosrae":                 "kost",
		"Pacific/Niue":                   "nut",
		"Pacific/Rarotonga":              "ckt",
	} {
		for _, w := range strings.Fields(names) {
			m[w] = zone
		}
	}
	return m
}()

// maxZoneChanges bounds the changes of a zone that are looked through for an abbreviation, each way.
const maxZoneChanges = 400

// movingOffset is the offset, in seconds east, that an abbreviation of a zone means at a local time in microseconds: what it meant
// when it was last used before, else when it was first used after, else what the zone has then.
func movingOffset(abbreviation string, loc *time.Location, local int64) int {
	utc := utcOf(local, loc)
	at := time.Unix(floorDiv(utc, microsPerSecond), 0).In(loc)
	_, offset := at.Zone()
	for t, n := at, 0; n < maxZoneChanges; n++ {
		if name, o := t.Zone(); strings.EqualFold(name, abbreviation) {
			return o
		}
		start, _ := t.ZoneBounds()
		if start.IsZero() {
			break
		}
		t = start.Add(-time.Second)
	}
	for t, n := at, 0; n < maxZoneChanges; n++ {
		_, end := t.ZoneBounds()
		if end.IsZero() {
			break
		}
		if name, o := end.Zone(); strings.EqualFold(name, abbreviation) {
			return o
		}
		t = end
	}
	return offset
}

// posixZone is the zone of a POSIX name without rules: letters, hours[:minutes[:seconds]] west of UTC, and letters of the summer time,
// which is then that of PostgreSQL's default rules, with or without an offset of its own. It is nil for others.
func posixZone(name string) *time.Location {
	offset := func(s string) (seconds int, rest string, ok bool) {
		sign := 1
		if s != "" && (s[0] == '+' || s[0] == '-') {
			if s[0] == '-' {
				sign = -1
			}
			s = s[1:]
		}
		for k, unit := 0, 3600; k < 3; k, unit = k+1, unit/60 {
			n, after, _ := leading(s)
			if len(after) == len(s) || n > []int64{167, 59, 60}[k] {
				return 0, "", false
			}
			if seconds, s = seconds+int(n)*unit, after; s == "" || s[0] != ':' {
				break
			}
			s = s[1:]
		}
		return sign * seconds, s, true
	}
	letters := func(s string) int {
		if i := strings.IndexAny(s, "0123456789,+-"); i >= 0 {
			return i
		}
		return len(s)
	}
	i := letters(name)
	standard, rest, ok := offset(name[i:])
	if i == 0 || !ok {
		return nil
	}
	if rest == "" {
		return fixedZone(-standard)
	}
	if i = letters(rest); i == 0 {
		return nil
	}
	summer := standard - 3600
	if rest = rest[i:]; rest != "" {
		if summer, rest, ok = offset(rest); !ok || rest != "" {
			return nil
		}
	}
	if summer == standard {
		return fixedZone(-standard)
	}
	return ruledZone(standard, summer)
}

// ruledZone is a zone with summer time by PostgreSQL's default rules, of two offsets in seconds west. It is made as a zone file whose last
// line says it all.
func ruledZone(standard, summer int) *time.Location {
	offset := func(west int) string {
		sign := ""
		if west < 0 {
			sign, west = "-", -west
		}
		return fmt.Sprintf("%s%d:%02d:%02d", sign, west/3600, west/60%60, west%60)
	}
	header := append([]byte("TZif2"), make([]byte, 15)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // one kind of time, four bytes of names
		header = binary.BigEndian.AppendUint32(header, n)
	}
	header = append(binary.BigEndian.AppendUint32(header, uint32(int32(-standard))), 0, 0, 'A', 'A', 'A', 0)
	file := append(append(append([]byte{}, header...), header...), "\nAAA"+offset(standard)+"BBB"+offset(summer)+",M3.2.0,M11.1.0\n"...)
	loc, err := time.LoadLocationFromTZData("", file)
	if err != nil {
		return nil
	}
	return loc
}

// fixed says that a zone never changes its offset.
func fixed(loc *time.Location) bool {
	start, end := time.Unix(0, 0).In(loc).ZoneBounds()
	return start.IsZero() && end.IsZero()
}
