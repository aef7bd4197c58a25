package ossai

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// An encoder writes requests and options as JSON. What JSON cannot hold is a mistake that names its path.
type encoder struct {
	buf   []byte
	path  []step
	fault *Error
}

// A step of a path: a name, or a place in the list of the name before.
type step struct {
	name  string
	index int
}

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, 2048)} }}

func newEncoder() *encoder {
	e := encoders.Get().(*encoder)
	e.buf, e.path, e.fault = e.buf[:0], e.path[:0], nil
	return e
}

// free gives the encoder back; its bytes must not be used any more.
func (e *encoder) free() {
	if cap(e.buf) <= 1<<20 {
		encoders.Put(e)
	}
}

// wrong notes the first mistake.
func (e *encoder) wrong(name, expected string) {
	if e.fault != nil {
		return
	}
	var path []byte
	for _, at := range e.path {
		if at.index >= 0 {
			path = append(strconv.AppendInt(append(path, '['), int64(at.index), 10), ']')
		} else {
			path = dotted(path, at.name)
		}
	}
	e.fault = invalid(string(dotted(path, name)), expected)
}

func dotted(path []byte, name string) []byte {
	if len(path) > 0 && name != "" {
		path = append(path, '.')
	}
	return append(path, name...)
}

// name writes a member's name, with the comma before it where one is needed.
func (e *encoder) name(name string) {
	if last := e.buf[len(e.buf)-1]; last != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(appendString(e.buf, name), ':')
}

func (e *encoder) begin() { e.buf = append(e.buf, '{') }
func (e *encoder) end()   { e.buf = append(e.buf, '}') }

// A fields writes the members of one object; those of the same name in extra win.
type fields struct {
	*encoder
	extra Extra
}

func (e *encoder) fields(extra Extra) fields {
	e.begin()
	return fields{e, extra}
}

func (f fields) wanted(name string, present bool) bool {
	if !present {
		return false
	}
	if len(f.extra) == 0 {
		return true
	}
	_, given := f.extra[name]
	return !given
}

func (f fields) text(name, value string) {
	if f.wanted(name, value != "") {
		f.name(name)
		f.buf = appendString(f.buf, value)
	}
}

// always writes a text although it is empty.
func (f fields) always(name, value string) {
	if f.wanted(name, true) {
		f.name(name)
		f.buf = appendString(f.buf, value)
	}
}

func (f fields) texts(name string, values []string) {
	if f.wanted(name, len(values) > 0) {
		f.name(name)
		f.appendTexts(values)
	}
}

func (e *encoder) appendTexts(values []string) {
	e.buf = append(e.buf, '[')
	for i, value := range values {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = appendString(e.buf, value)
	}
	e.buf = append(e.buf, ']')
}

func (f fields) integer(name string, value int64) {
	if f.wanted(name, value != 0) {
		f.name(name)
		f.buf = strconv.AppendInt(f.buf, value, 10)
	}
}

func (f fields) integerAt(name string, value *int64) {
	if value != nil && f.wanted(name, true) {
		f.name(name)
		f.buf = strconv.AppendInt(f.buf, *value, 10)
	}
}

func (f fields) float(name string, value *float64) {
	if value == nil || !f.wanted(name, true) {
		return
	}
	if math.IsNaN(*value) || math.IsInf(*value, 0) {
		f.wrong(name, "expected a finite number")
		return
	}
	f.name(name)
	f.buf = strconv.AppendFloat(f.buf, *value, 'g', -1, 64)
}

func (f fields) boolean(name string, value *bool) {
	if value != nil && f.wanted(name, true) {
		f.name(name)
		f.buf = strconv.AppendBool(f.buf, *value)
	}
}

func (f fields) truth(name string, value bool) {
	if f.wanted(name, value) {
		f.name(name)
		f.buf = append(f.buf, "true"...)
	}
}

// milliseconds writes a duration, rounded up: a time-out is never shorter than asked for.
func (f fields) milliseconds(name string, value time.Duration) {
	if value < 0 {
		f.wrong(name, "expected no negative duration")
		return
	}
	f.integer(name, milliseconds(value))
}

// milliseconds of a duration, rounded up.
func milliseconds(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

func (f fields) value(name string, value any) {
	if value != nil && f.wanted(name, true) {
		f.name(name)
		f.any(name, value)
	}
}

// close writes what is in extra and ends the object.
func (f fields) close() {
	switch len(f.extra) {
	case 0:
	case 1:
		for name, value := range f.extra {
			f.name(name)
			f.any(name, value)
		}
	default:
		names := make([]string, 0, len(f.extra))
		for name := range f.extra {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			f.name(name)
			f.any(name, f.extra[name])
		}
	}
	f.end()
}

// any writes a value of the program's own.
func (e *encoder) any(name string, value any) {
	switch value := value.(type) {
	case nil:
		e.buf = append(e.buf, "null"...)
		return
	case string:
		e.buf = appendString(e.buf, value)
		return
	case bool:
		e.buf = strconv.AppendBool(e.buf, value)
		return
	case int:
		e.buf = strconv.AppendInt(e.buf, int64(value), 10)
		return
	case json.RawMessage:
		if len(value) > 0 && json.Valid(value) {
			e.buf = append(e.buf, value...)
			return
		}
		e.wrong(name, "expected a JSON value, found text that is none")
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		var unsupported *json.UnsupportedValueError
		if errors.As(err, &unsupported) {
			e.wrong(name, "expected a JSON value, found "+unsupported.Str)
			return
		}
		e.wrong(name, "expected a JSON value: "+err.Error())
		return
	}
	e.buf = append(e.buf, text...)
}

// each writes a list of objects under their path.
func each[T any](f fields, name string, list []T, write func(*encoder, *T)) {
	if !f.wanted(name, list != nil) {
		return
	}
	f.name(name)
	f.buf = append(f.buf, '[')
	f.path = append(f.path, step{name, -1}, step{})
	for i := range list {
		if i > 0 {
			f.buf = append(f.buf, ',')
		}
		f.path[len(f.path)-1] = step{"", i}
		write(f.encoder, &list[i])
	}
	f.path = f.path[:len(f.path)-2]
	f.buf = append(f.buf, ']')
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string; bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
