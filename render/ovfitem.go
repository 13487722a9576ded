package render

import (
	"math"
	"strconv"
	"strings"

	"github.com/occid/occid/occi"
)

// allocation is an Item of the hardware: a CIM_ResourceAllocationSettingData, whose
// properties are in the order of their names (DSP8004). Empty ones are left out.
type allocation struct {
	name            string
	resource        int
	quantity, units string
	weight          string
	disk, network   string // UUIDs
	address         string
	own             []byte // a descriptor
}

func (i allocation) append(dst []byte, n int) []byte {
	disk := i.disk
	if disk != "" {
		disk = "ovf:/disk/" + disk
	}
	dst = append(dst, "      <Item>\n"...)
	for _, p := range [...]struct{ name, value string }{
		{"Address", i.address},
		{"AllocationUnits", i.units},
		{"Connection", i.network},
		{"ElementName", i.name},
		{"HostResource", disk},
		{"InstanceID", strconv.Itoa(n)},
		{"ResourceType", strconv.Itoa(i.resource)},
		{"VirtualQuantity", i.quantity},
		{"Weight", i.weight},
	} {
		if p.value != "" {
			dst = appendSetting(dst, "rasd", p.name, p.value)
		}
	}
	if i.own != nil {
		dst = append(append(append(dst, "        "...), i.own...), '\n')
	}
	return append(dst, "      </Item>\n"...)
}

// appendSetting adds a property of a CIM class.
func appendSetting(dst []byte, prefix, name, value string) []byte {
	dst = append(appendXML(append(dst, "        <"+prefix+":"+name+">"...), value), "</"+prefix+":"+name+">\n"...)
	return dst
}

// quantity is an amount of bytes as OVF has it: a whole number of units.
type quantity struct {
	number uint64
	factor float64 // bytes of the unit
}

const gib = 1 << 30

// allocationUnits are the units that quantities are written in (DSP0004 annex C), the
// largest first.
var allocationUnits = []struct {
	name   string
	factor float64
}{{"byte * 2^30", gib}, {"byte * 2^20", 1 << 20}, {"byte * 2^10", 1 << 10}, {"byte", 1}}

// quantityOf gives a number of GiB, rounded to bytes.
func quantityOf(v occi.Value) quantity {
	for _, u := range allocationUnits {
		if n := v.Num * gib / u.factor; n == math.Trunc(n) && n > 0 {
			return quantity{uint64(n), u.factor}
		}
	}
	return quantity{uint64(math.Round(max(v.Num, 0) * gib)), 1}
}

func (q quantity) unit() string {
	for _, u := range allocationUnits {
		if u.factor == q.factor {
			return u.name
		}
	}
	return "byte"
}

func (q quantity) bytes() float64 { return float64(q.number) * q.factor }

// value is the number of GiB: of all that are so many bytes the one that is
// written with the fewest digits, as 0.1 GiB is no whole number of bytes.
func (q quantity) value() float64 {
	exact := q.bytes() / gib
	for digits := 1; digits < 17; digits++ {
		short, err := strconv.ParseFloat(strconv.FormatFloat(exact, 'g', digits, 64), 64)
		if err == nil && math.Round(short*gib) == q.bytes() {
			return short
		}
	}
	return exact
}

// oldUnits are words for units that OVF 1 was written with.
var oldUnits = map[string]float64{"bytes": 1, "kilobytes": 1 << 10, "kb": 1 << 10, "megabytes": 1 << 20, "mb": 1 << 20,
	"gigabytes": gib, "gb": gib}

// parseUnit reads a unit such as "byte * 2^20"; false if it is none of bytes.
func parseUnit(s string) (bytes float64, ok bool) {
	if f, old := oldUnits[strings.ToLower(strings.TrimSpace(s))]; old {
		return f, true
	}
	for i, part := range strings.Split(s, "*") {
		part = strings.TrimSpace(part)
		if i == 0 {
			if part != "byte" {
				return 0, false
			}
			bytes = 1
			continue
		}
		base, exponent, power := strings.Cut(part, "^")
		b, err := strconv.ParseUint(strings.TrimSpace(base), 10, 32)
		e := uint64(1)
		if power && err == nil {
			e, err = strconv.ParseUint(strings.TrimSpace(exponent), 10, 6)
		}
		if bytes *= math.Pow(float64(b), float64(e)); err != nil || bytes < 1 || bytes > 1<<60 {
			return 0, false
		}
	}
	return bytes, bytes > 0
}
