package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/sql"
)

const (
	paymentsTopic      = "tilehouse-demo-payments"
	paymentsPartitions = 8
	paymentsRate       = 1000 // payments a second beside those that are shown
	paymentsShown      = 20   // payments whose way into a lookup is shown
	paymentsCards      = 10_000
	paymentsCard       = 4_000_000_001 // the card of the payments that are shown: nobody else's
	// paymentsPause lies between two payments that are shown, paymentsPoll between two lookups of one: without it the demo's lookups take a
	// core of the server's.
	paymentsPause = 50 * time.Millisecond
	paymentsPoll  = 500 * time.Microsecond
	// paymentsWait is how long a payment may take to be seen before the demo gives up.
	paymentsWait = 30 * time.Second
	// brokersWait is how long the brokers may take to answer.
	brokersWait = 20 * time.Second
)

var paymentsMerchants = []string{"bakery", "books", "cinema", "fuel", "garden", "grocer", "pharmacy", "trains"}

// payments is the topic of the demo of a stream, and what sends to it.
type payments struct {
	brokers string
	client  *kgo.Client
	next    int64 // the next payment's id: of one run greater than those of the runs before
	keep    bool
}

// openPayments makes the topic unless it is there. With keep, close leaves it.
func openPayments(ctx context.Context, brokers string, keep bool) (*payments, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.DefaultProduceTopic(paymentsTopic), kgo.ProducerLinger(0))
	if err != nil {
		return nil, fmt.Errorf("the brokers %s: %w", brokers, err)
	}
	made, cancel := context.WithTimeout(ctx, brokersWait)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(made, paymentsPartitions, -1, nil, paymentsTopic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		client.Close()
		return nil, fmt.Errorf("make the topic %s at %s: %w; make demo-stream starts a Kafka of its own", paymentsTopic, brokers, err)
	}
	return &payments{brokers: brokers, client: client, next: time.Now().UnixMicro(), keep: keep}, nil
}

// close ends the client, and deletes the topic unless it is kept.
func (p *payments) close() {
	defer p.client.Close()
	if p.keep {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokersWait)
	defer cancel()
	_, _ = kadm.NewClient(p.client).DeleteTopic(ctx, paymentsTopic) // a broker that has gone has no topic
}

// script runs the demo of a stream.
func (p *payments) script(ctx context.Context, client *demoClient) error {
	text := strings.NewReplacer("${BROKERS}", p.brokers, "${TOPIC}", paymentsTopic, "${CARD}", fmt.Sprint(paymentsCard)).Replace(sql.DemoStream)
	const heading = "-- FRESH VALUES\n"
	before, after, found := strings.Cut(text, heading)
	if !found {
		return fmt.Errorf("the demo's script has no line %q", heading)
	}
	if err := client.script(ctx, before); err != nil {
		return err
	}
	client.heading("FRESH VALUES")
	if err := p.show(ctx, client); err != nil {
		return err
	}
	return client.script(ctx, after)
}

// message is a payment that is made now.
func (p *payments) message(card int64, merchant string, cents int64) *kgo.Record {
	p.next++
	return &kgo.Record{Key: fmt.Append(nil, card), Value: fmt.Appendf(nil, `{"payment_id": %d, "card_id": %d, "merchant": %q, "amount": %d.%02d, "paid": %q}`,
		p.next, card, merchant, cents/100, cents%100, time.Now().UTC().Format(time.RFC3339Nano))}
}

// load sends payments of many cards until ctx ends.
func (p *payments) load(ctx context.Context) {
	random := rand.New(rand.NewPCG(1, 2))
	others := payments{next: p.next + 1_000_000_000}
	began, n := time.Now(), 0
	for ctx.Err() == nil {
		for ; n < int(time.Since(began).Seconds()*paymentsRate); n++ {
			r := others.message(random.Int64N(paymentsCards), paymentsMerchants[random.IntN(len(paymentsMerchants))], random.Int64N(20_000))
			p.client.Produce(ctx, r, nil) // one that is not sent is missed by nobody
		}
		time.Sleep(time.Millisecond)
	}
}

// paymentsLookup is what the demo looks up again and again.
const paymentsLookup = "SELECT spend_n_10m, coalesce(spend_total_10m, 0)::text, coalesce(spend_merchant_30d, '') FROM card WHERE card_id = $1"

// show sends payments of one card among those of others, and prints how soon each changes what a lookup says.
func (p *payments) show(ctx context.Context, client *demoClient) error {
	fmt.Fprintf(client.out, "\n  -- %d payments a second of %d cards go to the topic. Beside them one of your card at a time, and this lookup until it\n  -- says something new. The time is from before the message is given to Kafka until the new value is there.\n  %s\n\n",
		paymentsRate, paymentsCards, paymentsLookup)
	loading, stop := context.WithCancel(ctx)
	defer stop()
	go p.load(loading)
	time.Sleep(2 * time.Second) // until the source reads, and all is warm
	t := demoTable{names: []string{"payment", "n", "total", "merchant", "visible after"}, numeric: []bool{true, true, true, false, true}}
	var took []time.Duration
	was, err := p.look(ctx, client.conn)
	if err != nil {
		return err
	}
	for i := range paymentsShown {
		cents := int64(100 + 37*i)
		began := time.Now()
		if err := p.client.ProduceSync(ctx, p.message(paymentsCard, paymentsMerchants[i%len(paymentsMerchants)], cents)).FirstErr(); err != nil {
			return fmt.Errorf("send a payment: %w", err)
		}
		now := was
		for now.n == was.n {
			if time.Since(began) > paymentsWait {
				return fmt.Errorf("a payment is not seen after %v; tilehouse.sources says why", paymentsWait)
			}
			if now, err = p.look(ctx, client.conn); err != nil {
				return err
			}
			if now.n == was.n {
				time.Sleep(paymentsPoll)
			}
		}
		d := time.Since(began)
		took, was = append(took, d), now
		t.rows = append(t.rows, []string{fmt.Sprintf("%d.%02d", cents/100, cents%100), fmt.Sprint(now.n), now.total, now.merchant, milliseconds(d)})
		time.Sleep(paymentsPause)
	}
	t.total = len(t.rows)
	t.print(client.out)
	slices.Sort(took)
	fmt.Fprintf(client.out, "  %d payments, visible after %s in the middle and %s at most.\n", len(took), milliseconds(took[len(took)/2]), milliseconds(took[len(took)-1]))
	broken := &kgo.Record{Value: []byte(`{"payment_id": 1, "card_id": 4`)}
	if err := p.client.ProduceSync(ctx, broken).FirstErr(); err != nil {
		return fmt.Errorf("send a payment: %w", err)
	}
	return p.refused(ctx, client.conn)
}

// seen is what a lookup says of the card.
type seen struct {
	n               int64
	total, merchant string
}

func (p *payments) look(ctx context.Context, conn *pgx.Conn) (s seen, err error) {
	err = conn.QueryRow(ctx, paymentsLookup, int64(paymentsCard)).Scan(&s.n, &s.total, &s.merchant)
	return s, err
}

// refused waits until the broken message is a dead letter.
func (p *payments) refused(ctx context.Context, conn *pgx.Conn) error {
	for began := time.Now(); time.Since(began) < paymentsWait; time.Sleep(10 * time.Millisecond) {
		var n int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM tilehouse.dead_letters").Scan(&n); err != nil || n > 0 {
			return err
		}
	}
	return fmt.Errorf("the broken message is no dead letter after %v", paymentsWait)
}
