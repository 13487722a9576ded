package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occid/occid/occi"
)

// perSecond is what the registry calls the limit of requests in a second.
const perSecond = "requests"

// maxRates bounds the projects and users whose requests are counted.
const maxRates = 20_000

// rates count the requests of projects and users on this server. The zero rates are ready
// for use.
type rates struct {
	all  sync.Map     // of *bucket, by the UUID of a project or a user
	kept atomic.Int64 // how many
}

// bucket is what a project or a user has left: it holds as many requests as may be made in
// a second, at least one, and fills evenly.
type bucket struct {
	// limit is how many requests are allowed in a second; less than 0 for any number.
	limit float64
	until time.Time // the limit is read anew
	epoch uint64
	// policy is the value of RateLimit-Policy, of names those of the project and the user.
	policy [len(names)][]string
	// full is when the bucket will be full if nothing comes, in nanoseconds since 1970. It
	// stays when the limit is read anew.
	full *atomic.Int64
}

// Rate is what the callers of a quota may ask for.
type Rate struct {
	// Of is "project" or "user".
	Of string
	// Limit is how many requests a second are answered, Left how many now, Wait after how
	// long the next one is.
	Limit float64
	Left  int
	Wait  time.Duration

	policy []string
}

// names tell whose a quota is.
var names = [...]string{"project", "user"}

// Show sets RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers).
func (r *Rate) Show(h http.Header) {
	text := append(append(append(make([]byte, 0, 40), '"'), r.Of...), `";r=`...)
	text = append(strconv.AppendInt(text, int64(r.Left), 10), ";t="...)
	text = strconv.AppendInt(text, int64(seconds(max(r.Wait, time.Nanosecond))), 10)
	h["Ratelimit-Policy"], h["Ratelimit"] = r.policy, []string{string(text)}
}

// policies are the values of RateLimit-Policy for a limit.
func policies(limit float64) (all [len(names)][]string) {
	window := int64(1)
	if limit > 0 && limit < 1 {
		window = int64(math.Ceil(1 / limit))
	}
	for i, name := range names {
		all[i] = []string{fmt.Sprintf("%q;q=%d;w=%d", name, capacity(limit), window)}
	}
	return all
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// capacity is how many requests may come at once.
func capacity(limit float64) int64 { return max(1, int64(limit)) }

// Take counts a request of a caller. The Rate is that of the quota which has least left, nil if
// none bounds the caller. The error is TooMany if nothing is left. Administrators are not
// counted, who could not raise a limit otherwise.
func (a *Authenticator) Take(ctx context.Context, c Caller) (*Rate, error) {
	if c.Operates() {
		return nil, nil
	}
	var least *Rate
	now := a.now()
	for i, owner := range [len(names)]string{c.Project, c.Name} {
		if owner == "" {
			continue
		}
		b, err := a.bucket(ctx, owner, now)
		if err != nil {
			return nil, err
		}
		if b.limit < 0 {
			continue
		}
		left, wait, ok := b.take(now)
		r := &Rate{Of: names[i], Limit: b.limit, Left: left, Wait: wait, policy: b.policy[i]}
		if !ok {
			return r, &occi.Error{Class: occi.TooMany, Err: later(wait),
				Message: fmt.Sprintf("the %s may make %g requests in a second; try again later", names[i], b.limit)}
		}
		if least == nil || r.Left < least.Left {
			least = r
		}
	}
	return least, nil
}

// bucket gives that of a project or a user, with the limit as it was read lately.
func (a *Authenticator) bucket(ctx context.Context, owner string, now time.Time) (*bucket, error) {
	epoch := a.epoch.Load()
	var have *bucket
	if v, ok := a.rates.all.Load(owner); ok {
		have = v.(*bucket)
	}
	if have != nil && have.epoch == epoch && now.Before(have.until) {
		return have, nil
	}
	found, err, _ := a.flights.Do("rate "+owner, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		next := &bucket{limit: -1, until: now.Add(checkEvery), epoch: epoch, full: new(atomic.Int64)}
		if have != nil {
			next.full = have.full
		}
		q, err := a.accounts.Entity(ctx, occi.QuotaID(owner))
		switch limit := a.model().Quotas().Limits[perSecond]; {
		case errors.Is(err, occi.NotFound):
		case err != nil:
			return nil, err
		case limit != nil && q.Kind == occi.QuotaKind && !q.Attributes.Get(limit.Name).IsZero():
			next.limit = q.Attributes.Get(limit.Name).Num
		}
		next.policy = policies(next.limit)
		a.rates.keep(owner, next)
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*bucket), nil
}

func (r *rates) keep(owner string, b *bucket) {
	if _, had := r.all.Swap(owner, b); had {
		return
	}
	if r.kept.Add(1) > maxRates {
		// Who comes again begins with a full bucket.
		r.all.Clear()
		r.kept.Store(0)
	}
}

// take takes a request out of the bucket; it tells how many are left, and after how long
// there is one more.
func (b *bucket) take(at time.Time) (left int, wait time.Duration, ok bool) {
	now := at.UnixNano()
	if b.limit == 0 {
		return 0, checkEvery, false
	}
	each := max(1, int64(float64(time.Second)/b.limit))
	size := each * capacity(b.limit)
	for {
		was := b.full.Load()
		full := max(was, now) + each
		if over := full - now - size; over > 0 {
			return 0, time.Duration(over), false
		}
		if b.full.CompareAndSwap(was, full) {
			left = int((size - (full - now)) / each)
			if left == 0 {
				wait = time.Duration(full + each - now - size)
			}
			return left, wait, true
		}
	}
}
