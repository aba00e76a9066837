package parse

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// attach finds the nodes of the clauses that were taken off. PostgreSQL's nodes of joins and of SELECT have no location, so
// a node is known by the least location below its right arm, or among its outputs: the nearest JOIN or SELECT before that
// is its own, because no other one can stand between.
func (p *peeler) attach(top *pg_query.Node) (Clauses, error) {
	var c Clauses
	joins := map[int]*pg_query.JoinExpr{}
	selects := map[int]*pg_query.SelectStmt{}
	relations := map[int]*pg_query.RangeVar{}
	Walk(top, func(m proto.Message) bool {
		switch n := m.(type) {
		case *pg_query.JoinExpr:
			if len(p.asofs) > 0 {
				if at := before(p.joins, firstLocation(n.Rarg)); at >= 0 {
					joins[at] = n
				}
			}
		case *pg_query.SelectStmt:
			if len(p.windows) > 0 && n.Op == pg_query.SetOperation_SETOP_NONE && len(n.TargetList) > 0 {
				var outputs []proto.Message
				for _, l := range [][]*pg_query.Node{n.DistinctClause, n.TargetList} {
					for _, o := range l {
						outputs = append(outputs, o)
					}
				}
				if at := before(p.selects, firstLocation(outputs...)); at >= 0 {
					selects[at] = n
				}
			}
		case *pg_query.RangeVar:
			relations[int(n.Location)] = n
		case *pg_query.RangeTableSample:
			s := Sample{Node: n, Position: int(n.Location)}
			for _, w := range n.Method {
				s.Method = w.GetString_().GetSval()
			}
			c.Samples = append(c.Samples, s)
		}
		return true
	})
	for _, a := range p.asofs {
		if a.Join = joins[a.join]; a.Join == nil {
			return c, faultAt(a.Position, codeSyntax, "", "ASOF JOIN stands where no join can")
		}
		c.Asof = append(c.Asof, a.AsofJoin)
	}
	for _, w := range p.windows {
		if w.Select = selects[w.selectAt]; w.Select == nil {
			return c, faultAt(w.Position, codeSyntax, "", "WINDOW belongs to a SELECT with outputs")
		}
		c.Windows = append(c.Windows, w.SelectWindow)
	}
	for _, t := range p.times {
		for _, at := range t.names {
			if rv := relations[at]; rv != nil {
				t.Relation = rv
			}
		}
		if t.Relation == nil {
			return c, faultAt(t.Position, codeUnsupported, "", "FOR SYSTEM_TIME AS OF follows a table, an entity, a feature or a view")
		}
		c.SystemTime = append(c.SystemTime, t.SystemTime)
	}
	return c, nil
}

// before is the greatest of the ascending offsets that is less than at, or -1.
func before(offsets []int, at int) int {
	i, _ := slices.BinarySearch(offsets, at)
	if at < 0 || i == 0 {
		return -1
	}
	return offsets[i-1]
}

// parseSQL parses the tokens toks of text, all of the text that is not blank, as a statement of PostgreSQL's with our clauses.
// It returns nil where there is no statement.
func parseSQL(text string, toks []token) (*SQL, error) {
	p := &peeler{src: text, toks: toks, edit: edit{src: text}}
	if err := p.run(); err != nil {
		return nil, err
	}
	s := &SQL{Text: text, Plain: p.edit.text()}
	n, err := parseOne(s.Plain)
	if err != nil || n == nil {
		return nil, err
	}
	s.Node = n
	s.Clauses, err = p.attach(n)
	if err != nil {
		return nil, err
	}
	return s, nil
}
