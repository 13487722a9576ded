package occi_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
)

// TestUsageAddsUp: what was used in two spans that meet is what was used in both.
func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		at := func(name string) time.Time {
			return epoch.Add(time.Duration(rapid.Int64Range(0, 3_600_000_000).Draw(t, name)) * time.Microsecond)
		}
		second := func(name string) time.Time { return at(name).Truncate(time.Second) }
		var all []*occi.Interval
		for range rapid.IntRange(1, 8).Draw(t, "intervals") {
			i := &occi.Interval{Entity: uuid.New(), Project: "p", Owner: "u", Began: at("began"), Use: occi.Use{Memory: rapid.Int64Range(0, 1<<50).Draw(t, "memory"), Cores: 3}}
			if end := at("ended"); end.After(i.Began) {
				i.Ended = end
			}
			all = append(all, i)
		}
		from, middle, to := second("from"), second("middle"), second("to")
		if middle.Before(from) || to.Before(middle) {
			t.Skip()
		}
		sum := func(from, to time.Time) map[string][2]string {
			s := occi.NewUsageSums(&occi.UsageQuery{From: from, To: to}, occi.ByUser, epoch.Add(2*time.Hour))
			for _, i := range all {
				s.Add(i)
			}
			out := map[string][2]string{}
			for _, u := range s.All() {
				out[u.What] = [2]string{u.Amount.String(), u.Seconds.String()}
			}
			return out
		}
		whole := sum(from, to)
		parts := occi.NewUsageSums(&occi.UsageQuery{From: from, To: middle}, occi.ByUser, epoch.Add(2*time.Hour))
		rest := occi.NewUsageSums(&occi.UsageQuery{From: middle, To: to}, occi.ByUser, epoch.Add(2*time.Hour))
		for _, i := range all {
			parts.Add(i)
			rest.Add(i)
		}
		both := map[string][2]string{}
		for _, u := range parts.All() {
			for _, v := range rest.All() {
				if v.What == u.What {
					u.Amount.Add(u.Amount, v.Amount)
					u.Seconds.Add(u.Seconds, v.Seconds)
				}
			}
			both[u.What] = [2]string{u.Amount.String(), u.Seconds.String()}
		}
		for _, v := range rest.All() {
			if _, ok := both[v.What]; !ok {
				both[v.What] = [2]string{v.Amount.String(), v.Seconds.String()}
			}
		}
		if len(whole) != len(both) {
			t.Fatalf("%v is not %v", both, whole)
		}
		for what, w := range whole {
			if both[what] != w {
				t.Errorf("%s: %v, in parts %v", what, w, both[what])
			}
		}
	})
}

// TestUsageOfLargeThings: a terabyte for a year is more than 64 bits hold.
func TestUsageOfLargeThings(t *testing.T) {
	t.Parallel()
	began := time.Date(2025, 1, 1, 0, 0, 0, 999_999_000, time.UTC)
	s := occi.NewUsageSums(&occi.UsageQuery{From: began.AddDate(0, 0, -1), To: began.AddDate(1, 0, 0)}, occi.ByEntity, began.AddDate(5, 0, 0))
	s.Add(&occi.Interval{Entity: uuid.New(), Kind: "k", Began: began, Use: occi.Use{Storage: 16 << 40}})
	all := s.All()
	if len(all) != 1 || all[0].Seconds.String() != "31536000" {
		t.Fatalf("%+v", all)
	}
	if got := all[0]; got.Amount.String() != "554787179096702976000" || got.Unit() != "byte-seconds" || got.Kind != "k" {
		t.Errorf("%s %s of %s", got.Amount, got.Unit(), got.Kind)
	}
}
