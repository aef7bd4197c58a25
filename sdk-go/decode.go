package ossai

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"unsafe"
)

// A decoder reads JSON of the core's, which is well formed; what is not ends in an error and never in a panic. It copies what
// it keeps, so that it may read memory that is given back afterwards.
type decoder struct {
	data  []byte
	pos   int
	depth int
	err   error
}

var errNotJSON = errors.New("the core's answer cannot be read")

// Deeper than the core lets anything be.
const maxDepth = 256

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errNotJSON
	}
	d.pos = len(d.data)
}

// peek is the next byte that is no space; 0 at the end.
func (d *decoder) peek() byte {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case ' ', '\n', '\r', '\t':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) expect(c byte) bool {
	if d.peek() != c {
		d.fail()
		return false
	}
	d.pos++
	return true
}

// more walks an object or a list: `for first := true; d.more('}', &first); { … }`, after the opening bracket.
func (d *decoder) more(closing byte, first *bool) bool {
	if d.err != nil {
		return false
	}
	c := d.peek()
	if c == closing {
		d.pos++
		d.depth--
		return false
	}
	if *first {
		*first = false
		return true
	}
	if c != ',' {
		d.fail()
		return false
	}
	d.pos++
	return true
}

func (d *decoder) open(bracket byte) bool {
	if !d.expect(bracket) {
		return false
	}
	if d.depth++; d.depth > maxDepth {
		d.fail()
		return false
	}
	return true
}

// key reads a member's name; valid until the data is.
func (d *decoder) key() []byte {
	key := d.rawString()
	d.expect(':')
	return key
}

// rawString is a string's bytes: between the quotes where there are no escapes, else unquoted.
func (d *decoder) rawString() []byte {
	if !d.expect('"') {
		return nil
	}
	start := d.pos
	for i := start; i < len(d.data); i++ {
		switch d.data[i] {
		case '"':
			d.pos = i + 1
			return d.data[start:i]
		case '\\':
			return d.unquote(start, i)
		}
	}
	d.fail()
	return nil
}

// unquote reads a string whose first escape is at i.
func (d *decoder) unquote(start, i int) []byte {
	out := append(make([]byte, 0, len(d.data[start:i])+64), d.data[start:i]...)
	for i < len(d.data) {
		c := d.data[i]
		i++
		if c == '"' {
			d.pos = i
			return out
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if i >= len(d.data) {
			break
		}
		c = d.data[i]
		i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			// Rare: control characters. The standard library knows the rules of surrogates, which come in pairs.
			end := i + 4
			if end+6 <= len(d.data) && d.data[i]|0x20 == 'd' && d.data[i+1] >= '8' && d.data[end] == '\\' && d.data[end+1] == 'u' {
				end += 6
			}
			var text string
			if end > len(d.data) || json.Unmarshal(append(append([]byte(`"\u`), d.data[i:end]...), '"'), &text) != nil {
				d.fail()
				return nil
			}
			out = append(out, text...)
			i = end
		default:
			d.fail()
			return nil
		}
	}
	d.fail()
	return nil
}

func (d *decoder) null() bool {
	if d.peek() != 'n' {
		return false
	}
	d.literal("null")
	return true
}

func (d *decoder) literal(word string) {
	if end := d.pos + len(word); end <= len(d.data) && string(d.data[d.pos:end]) == word {
		d.pos = end
		return
	}
	d.fail()
}

func (d *decoder) text() string {
	if d.null() {
		return ""
	}
	return string(d.rawString())
}

// word is a string of a small vocabulary: no memory for those that come all the time.
func (d *decoder) word() string {
	if d.null() {
		return ""
	}
	raw := d.rawString()
	switch string(raw) {
	case "stop":
		return "stop"
	case "tool_calls":
		return "tool_calls"
	case "length":
		return "length"
	case "text":
		return "text"
	case "reasoning":
		return "reasoning"
	case "tool_call":
		return "tool_call"
	case "exact":
		return "exact"
	case "unknown":
		return "unknown"
	case "hit":
		return "hit"
	case "miss":
		return "miss"
	case "bypass":
		return "bypass"
	case "memory":
		return "memory"
	case "text_delta":
		return "text_delta"
	case "reasoning_delta":
		return "reasoning_delta"
	case "tool_call_delta":
		return "tool_call_delta"
	}
	return string(raw)
}

func (d *decoder) texts() []string {
	if d.null() {
		return nil
	}
	if !d.open('[') {
		return nil
	}
	list := []string{}
	for first := true; d.more(']', &first); {
		list = append(list, d.text())
	}
	return list
}

// number is a number's text; valid until the data is.
func (d *decoder) number() []byte {
	d.peek()
	start := d.pos
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		d.pos++
	}
	if start == d.pos {
		d.fail()
	}
	return d.data[start:d.pos]
}

func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (d *decoder) unsigned() uint64 {
	text := d.number()
	var n uint64
	for i, c := range text {
		if c < '0' || c > '9' || i > 17 {
			n, err := strconv.ParseUint(view(text), 10, 64)
			if err != nil {
				d.fail()
			}
			return n
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

func (d *decoder) signed() int64 {
	n, err := strconv.ParseInt(view(d.number()), 10, 64)
	if err != nil {
		d.fail()
	}
	return n
}

func (d *decoder) integer() int {
	n := d.unsigned()
	if n > math.MaxInt {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) single() float32 {
	if d.null() {
		return float32(math.NaN())
	}
	n, err := strconv.ParseFloat(view(d.number()), 32)
	if err != nil {
		d.fail()
	}
	return float32(n)
}

func (d *decoder) double() *float64 {
	if d.null() {
		return nil
	}
	value, err := strconv.ParseFloat(string(d.number()), 64)
	if err != nil {
		d.fail()
	}
	return &value
}

func (d *decoder) boolean() bool {
	if d.peek() == 't' {
		d.literal("true")
		return true
	}
	d.literal("false")
	return false
}

func (d *decoder) unsignedAt() *uint64 {
	if d.null() {
		return nil
	}
	n := d.unsigned()
	return &n
}

// raw is a value as it stands, copied.
func (d *decoder) raw() json.RawMessage {
	d.peek()
	start := d.pos
	d.skip()
	if d.err != nil {
		return nil
	}
	return append(json.RawMessage(nil), d.data[start:d.pos]...)
}

// skip passes over a value.
func (d *decoder) skip() {
	switch c := d.peek(); c {
	case '{', '[':
		closing := c + 2
		if !d.open(c) {
			return
		}
		for first := true; d.more(closing, &first); {
			if c == '{' {
				d.skipString()
				d.expect(':')
			}
			d.skip()
		}
	case '"':
		d.skipString()
	case 't':
		d.literal("true")
	case 'f':
		d.literal("false")
	case 'n':
		d.literal("null")
	default:
		d.number()
	}
}

func (d *decoder) skipString() {
	if !d.expect('"') {
		return
	}
	for i := d.pos; i < len(d.data); i++ {
		switch d.data[i] {
		case '\\':
			i++
		case '"':
			d.pos = i + 1
			return
		}
	}
	d.fail()
}

// extra reads an object of fields that keep their JSON.
func (d *decoder) extra() Extra {
	if d.null() {
		return nil
	}
	if !d.open('{') {
		return nil
	}
	extra := Extra{}
	for first := true; d.more('}', &first); {
		name := string(d.key())
		extra[name] = d.raw()
	}
	return extra
}

// done is the error of the whole, which must have ended.
func (d *decoder) done() error {
	if d.err == nil && d.peek() != 0 {
		d.fail()
	}
	return d.err
}

// trace is read by reflection: it is there only where it was asked for.
func (d *decoder) trace() *Trace {
	if d.null() {
		return nil
	}
	trace := new(Trace)
	if raw := d.raw(); d.err == nil && json.Unmarshal(raw, trace) != nil {
		d.fail()
	}
	return trace
}

// toolRun is read by reflection too: of calls with tools that have handlers.
func (d *decoder) toolRun() *ToolRun {
	if d.null() {
		return nil
	}
	run := new(ToolRun)
	if raw := d.raw(); d.err == nil && json.Unmarshal(raw, run) != nil {
		d.fail()
	}
	return run
}
