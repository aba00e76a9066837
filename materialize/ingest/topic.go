package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tilehouse/tilehouse/storage/schema"
	"github.com/tilehouse/tilehouse/storage/streams"
)

// Errors of reading topics.
var (
	ErrNoTopic     = errors.New("the topic does not exist")
	ErrUnreachable = errors.New("the brokers do not answer")
	ErrRefused     = errors.New("the brokers refuse the login")
	ErrForbidden   = errors.New("the brokers do not allow the login to read the topic")
)

// describeTimeout bounds what a statement waits for brokers.
const describeTimeout = 10 * time.Second

// StartKind is where the reading of a topic begins.
type StartKind uint8

// The kinds.
const (
	StartEarliest StartKind = iota
	StartLatest
	StartTime    // the first message of the time or later, by the messages' times
	StartOffsets // by partition; those not named: from their start
)

// Start is where the reading of a topic begins.
type Start struct {
	Kind    StartKind
	Time    int64 // microseconds UTC
	Offsets map[int32]int64
}

// Topic is what brokers say of a topic.
type Topic struct {
	ID    string  // hexadecimal; "": none
	Start []int64 // the first offset to read, by partition
}

// Describe asks the brokers of a connection for a topic, and for the offsets at which the reading of it begins. Errors: ErrNoTopic,
// ErrUnreachable, ErrUntrusted, ErrRefused, ErrForbidden, *SecretError, those of Start: a partition that there is not.
func Describe(ctx context.Context, cat *schema.Catalog, c *schema.Connection, topic string, start Start) (Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	opts, err := ClientOptions(cat, c)
	if err != nil {
		return Topic{}, err
	}
	client, err := kgo.NewClient(append(opts, kgo.RetryTimeout(describeTimeout/2))...)
	if err != nil {
		return Topic{}, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	d, err := describe(ctx, adm, topic)
	if err != nil {
		return Topic{}, err
	}
	t := Topic{ID: topicID(d), Start: make([]int64, len(d.Partitions))}
	earliest, err := offsets(adm.ListStartOffsets(ctx, topic))
	if err != nil {
		return Topic{}, err
	}
	var begin kadm.ListedOffsets
	switch start.Kind {
	case StartEarliest, StartOffsets:
		begin = earliest
	case StartLatest:
		begin, err = offsets(adm.ListEndOffsets(ctx, topic))
	case StartTime:
		begin, err = offsets(adm.ListOffsetsAfterMilli(ctx, start.Time/1000, topic))
	}
	if err != nil {
		return Topic{}, err
	}
	for p := range t.Start {
		o, ok := begin.Lookup(topic, int32(p))
		if !ok {
			return Topic{}, fmt.Errorf("the brokers say no offset of partition %d", p)
		}
		t.Start[p] = o.Offset
	}
	for p, o := range start.Offsets {
		if int(p) >= len(t.Start) {
			return Topic{}, fmt.Errorf("the topic has no partition %d: it has %d", p, len(t.Start))
		}
		if o < t.Start[p] {
			return Topic{}, fmt.Errorf("offset %d of partition %d is gone: the first one there is %d", o, p, t.Start[p])
		}
		t.Start[p] = o
	}
	return t, nil
}

// describe is what the brokers say of one topic.
func describe(ctx context.Context, adm *kadm.Client, topic string) (kadm.TopicDetail, error) {
	all, err := adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return kadm.TopicDetail{}, brokerError(err)
	}
	d, ok := all[topic]
	if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return d, ErrNoTopic
	}
	if d.Err != nil {
		return d, brokerError(d.Err)
	}
	if len(d.Partitions) > streams.MaxPartitions {
		return d, fmt.Errorf("the topic has %d partitions, at most %d can be read", len(d.Partitions), streams.MaxPartitions)
	}
	return d, nil
}

func topicID(d kadm.TopicDetail) string {
	if d.ID == (kadm.TopicID{}) {
		return ""
	}
	return fmt.Sprintf("%x", d.ID[:])
}

func offsets(o kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err == nil {
		err = o.Error()
	}
	return o, brokerError(err)
}

// brokerError puts one of the package's errors before what a client says.
func brokerError(err error) error {
	var of error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		of = ErrRefused
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		of = ErrForbidden
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		of = ErrNoTopic
	case kerr.IsRetriable(err), errors.As(err, new(*kerr.Error)):
		return err
	case untrusted(err):
		of = ErrUntrusted
	default:
		of = ErrUnreachable
	}
	return fmt.Errorf("%w: %w", of, err)
}
