package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	standard "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/occid/occid/internal/auth"
)

const (
	// keysLife is how long keys count before the provider is asked again, keysMost how long
	// they do while it does not answer.
	keysLife = time.Hour
	keysMost = 24 * time.Hour
	// keysPause is how long at least lies between two looks for a key that is not known, so
	// that nobody has the server ask with each token that is made up.
	keysPause = 30 * time.Second
	maxKeys   = 100
)

// keys are those of the provider.
type keys struct {
	mu    sync.Mutex
	all   []jose.JSONWebKey
	at    time.Time // they were fetched
	tried time.Time
}

// keySet verifies by the keys it has.
type keySet []jose.JSONWebKey

// VerifySignature implements the library's KeySet.
func (k keySet) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	var algorithms []jose.SignatureAlgorithm
	for _, a := range Algorithms {
		algorithms = append(algorithms, jose.SignatureAlgorithm(a))
	}
	signed, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, err
	}
	for i := range k {
		if payload, err := signed.Verify(&k[i]); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the provider's has signed it")
}

// matching are the keys that may have signed a token.
func (k *keys) matching(signed *jose.JSONWebSignature) keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := signed.Signatures[0].Header
	var found keySet
	for _, x := range k.all {
		if (h.KeyID == "" || x.KeyID == h.KeyID) && (x.Algorithm == "" || x.Algorithm == h.Algorithm) {
			found = append(found, x)
		}
	}
	return found
}

// keysOf gives the keys that may have signed a token. The provider is asked if they are
// old, or if none may have, though not again and again.
func (p *Provider) keysOf(ctx context.Context, of *standard.Provider, signed *jose.JSONWebSignature) (keySet, error) {
	now := p.config.Now()
	p.keys.mu.Lock()
	none, age := p.keys.all == nil, now.Sub(p.keys.at)
	p.keys.mu.Unlock()
	found := p.keys.matching(signed)
	if len(found) > 0 && age < keysLife {
		return found, nil
	}
	gap := keysPause
	if none || age >= keysLife {
		gap = pause
	}
	// Who comes while somebody else looks waits for what that finds.
	_, failed, _ := p.flights.Do("keys", func() (any, error) {
		p.keys.mu.Lock()
		since := now.Sub(p.keys.tried)
		p.keys.mu.Unlock()
		if 0 <= since && since < gap {
			return nil, nil
		}
		return nil, p.fetch(ctx, of, now)
	})
	found = p.keys.matching(signed)
	p.keys.mu.Lock()
	none, age = p.keys.all == nil, now.Sub(p.keys.at)
	p.keys.mu.Unlock()
	switch {
	case none || age >= keysMost || failed != nil && len(found) == 0:
		return nil, p.unavailable(failed)
	case len(found) == 0:
		return nil, auth.Unknown()
	}
	return found, nil
}

// fetch asks the provider for its keys.
func (p *Provider) fetch(ctx context.Context, of *standard.Provider, now time.Time) error {
	p.keys.mu.Lock()
	p.keys.tried = now
	p.keys.mu.Unlock()
	var metadata struct {
		URL string `json:"jwks_uri"`
	}
	if err := of.Claims(&metadata); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, metadata.URL, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its keys: %s", resp.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	all := []jose.JSONWebKey{}
	for _, text := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		// One of a sort that is not known here is no reason to do without the others.
		if json.Unmarshal(text, &k) == nil && k.IsPublic() && k.Valid() && (k.Use == "" || k.Use == "sig") {
			all = append(all, k)
		}
	}
	p.keys.mu.Lock()
	defer p.keys.mu.Unlock()
	p.keys.all, p.keys.at = all, now
	return nil
}
