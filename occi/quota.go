package occi

import "github.com/google/uuid"

// QuotaKind is the kind of what bounds how much a project or a user may use, and shows how
// much that is.
const QuotaKind = identityScheme + "quota"

// UseStorage is what Entity.Reserved is counted as.
const UseStorage = "storage"

var quotaSpace = uuid.MustParse("6f1b1a6e-6f63-5c69-8468-71756f746173")

// QuotaID is the UUID of the quota of a project or a user, whose own UUID is given as the
// text that Entity.Project and Entity.Owner have.
func QuotaID(owner string) uuid.UUID { return uuid.NewSHA1(quotaSpace, []byte(owner)) }

// Charge is how much an entity uses of something that quotas bound.
type Charge struct {
	What   string // "cores"; the registry says what counts as it
	Amount int64  // bytes, or how many
}

// Excess is how a change would use more of something than a quota allows.
type Excess struct {
	Owner                string // of the quota: the UUID of a project or a user
	What                 string
	Limit, Used, Request int64
}

// OverQuota tells by how much a change exceeds quotas.
type OverQuota struct{ All []Excess }

// Error implements error.
func (*OverQuota) Error() string { return "the quota is exceeded" }

// Bound is what a quota allows, what is used of it, and what was requested beside that.
type Bound struct {
	Of                     string // "project" or "user"
	Limit, Used, Requested Value
}

// Quotas say which attributes of a QuotaKind hold what, by what is used.
type Quotas struct {
	// Limits are the most that may be used; less than 0 means any amount. Used are how
	// much is used.
	Limits, Used map[string]*Attribute
}

// unit is one of an attribute's values, in what Charge counts.
func (a *Attribute) unit() float64 {
	if a.Unit == "GiB" {
		return 1 << 30
	}
	return 1
}

// Counted is how much a value of the attribute is, in what Charge counts: a text is one.
func (a *Attribute) Counted(v Value) int64 {
	switch v.Type {
	case Integer, Number, Boolean:
		return int64(min(v.Num*a.unit(), 1<<62))
	case "":
		return 0
	}
	return 1
}

// Shown is an amount that Charge counts as a value of the attribute.
func (a *Attribute) Shown(amount int64) Value {
	return Value{Type: a.Type, Num: float64(amount) / a.unit()}
}

// Charges lists what an entity uses, each thing once; nothing if it is deleted.
func (m *Model) Charges(e *Entity) []Charge {
	k := m.Kind(e.Kind)
	if k == nil || k.Own || e.Deleted {
		return nil
	}
	var out []Charge
	add := func(what string, amount int64) {
		if what == "" || amount <= 0 {
			return
		}
		for i := range out {
			if out[i].What == what {
				out[i].Amount += amount
				return
			}
		}
		out = append(out, Charge{what, amount})
	}
	add(k.Uses, 1)
	for _, id := range e.Mixins {
		if x := m.Mixin(id); x != nil {
			add(x.Uses, 1)
		}
	}
	for _, a := range e.Attributes {
		if d := m.Attribute(a.Name); d != nil && d.Uses != "" {
			add(d.Uses, d.Counted(a.Value))
		}
	}
	add(UseStorage, e.Reserved)
	return out
}

// Quotas tells which attributes quotas have. It is shared and must not be changed.
func (m *Model) Quotas() *Quotas { return &m.quotas }

func (m *Model) addQuotas() {
	m.quotas = Quotas{Limits: map[string]*Attribute{}, Used: map[string]*Attribute{}}
	k := m.kinds[QuotaKind]
	if k == nil {
		return
	}
	for _, a := range k.Attributes {
		if a.Limits != "" {
			m.quotas.Limits[a.Limits] = a
		}
		if a.Tells != "" {
			m.quotas.Used[a.Tells] = a
		}
	}
}
