package ossai

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ossai-dev/ossai-go/internal/native"
)

// filled is a value with every field set, so that one that a hand-written reader forgets is missed.
func filled(value reflect.Value, n *int) {
	*n++
	switch value.Kind() {
	case reflect.String:
		value.SetString("s" + strings.Repeat("é\n", *n%3))
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int, reflect.Int64:
		value.SetInt(int64(*n))
	case reflect.Uint32, reflect.Uint64:
		value.SetUint(uint64(*n))
	case reflect.Float32, reflect.Float64:
		value.SetFloat(float64(*n) + 0.5)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		filled(value.Elem(), n)
	case reflect.Struct:
		if value.Type() == reflect.TypeFor[Message]() {
			value.Set(reflect.ValueOf(ToolResult("call_1", "rain"))) // requests have tests of their own
			return
		}
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				filled(value.Field(i), n)
			}
		}
	case reflect.Slice:
		if value.Type() == reflect.TypeFor[json.RawMessage]() {
			value.SetBytes([]byte(`{"raw":[1,"two",null]}`))
			return
		}
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))
		filled(value.Index(0), n)
		filled(value.Index(1), n)
	case reflect.Map:
		value.Set(reflect.ValueOf(Extra{"x": json.RawMessage(`{"y":1}`)}))
	case reflect.Interface:
		value.Set(reflect.ValueOf(json.RawMessage(`{"a":1}`)))
	default:
		panic(value.Kind())
	}
}

func again[T any](t *testing.T) {
	t.Helper()
	var whole, read T
	n := 0
	filled(reflect.ValueOf(&whole).Elem(), &n)
	text, err := json.Marshal(&whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !reflect.DeepEqual(whole, read) {
		t.Errorf("%T is not the same again:\n%+v\n%+v", whole, whole, read)
	}
}

func TestNoReaderForgetsAField(t *testing.T) {
	again[Completion](t)
	again[EmbeddingResponse](t)
	again[Part](t)
	again[ToolCall](t)
	again[Tool](t)
	again[Usage](t)
}

func TestARequestReadFromJSONIsWrittenAsItWas(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"model":"a/b","messages":[]}`,
		`{"model":"","messages":7,"temperature":"hot","max_tokens":1.5,"stop":"one","seed":1e19,"tools":[],"metadata":{},"user":null}`,
		`{"model":"a/b","messages":[{"role":"user","content":""},{"role":"user","content":null},{"content":[]},{"role":"tool","is_error":false}]}`,
		`{"model":"a/b","messages":[{"role":"user","content":[{"type":"text","text":""},{"type":"image","url":""},{"type":"new","text":"","x":1},{"text":"no type"}]}]}`,
		`{"messages":[1]}`,
		`{"messages":[{"role":"assistant","tool_calls":[{"id":"","name":"n","arguments":"{}","x":true}]}]}`,
		`{"tool_choice":"auto"}`, `{"tool_choice":{"name":"f"}}`, `{"tool_choice":{"name":"f","x":1}}`, `{"tool_choice":7}`,
		`{"response_format":{"type":"json_schema","name":"n","schema":{"a":1},"strict":false,"description":"d"}}`,
		`{"response_format":{"type":"json_object","x":1}}`, `{"response_format":"text"}`,
		`{"tools":[{"name":"f","parameters":null},{"type":"web_search","x":1},{"type":"function","name":"f","parameters":{"type":"object"},"strict":true}]}`,
		`{"parallel_tool_calls":null,"top_p":0,"top_k":0,"frequency_penalty":-0.5,"presence_penalty":1e-7,"seed":-9223372036854775808}`,
		`{"reasoning_effort":"low","service_tier":"flex","metadata":{"k":"v"},"stop":["a","b"],"user":"u","x":{"y":[1,2,{"z":null}]}}`,
	} {
		var request CompletionRequest
		if err := json.Unmarshal([]byte(text), &request); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		written, err := json.Marshal(request)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var want, got any
		if json.Unmarshal([]byte(text), &want) != nil || json.Unmarshal(written, &got) != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("%s became %s", text, written)
		}
	}
	for _, text := range []string{`{"model":"a/b","input":"one","dimensions":2,"user":"u"}`, `{"input":["a"],"x":1}`, `{"input":[1,2]}`, `{"input":[["a"]]}`, `{"input":[null]}`} {
		var request EmbeddingRequest
		if err := json.Unmarshal([]byte(text), &request); err != nil {
			t.Fatal(err)
		}
		written, _ := json.Marshal(request)
		var want, got any
		if json.Unmarshal([]byte(text), &want) != nil || json.Unmarshal(written, &got) != nil || !reflect.DeepEqual(want, got) {
			t.Errorf("%s became %s", text, written)
		}
	}
	tokens, _ := json.Marshal(EmbeddingRequest{Model: "a/b", InputTokens: [][]uint32{{1, 2}}})
	if string(tokens) != `{"model":"a/b","input":[[1,2]]}` {
		t.Errorf("%s", tokens)
	}
	for _, text := range []string{`7`, `[]`, `null`, `"a"`} {
		if err := json.Unmarshal([]byte(text), new(CallOptions)); text != `null` && err == nil {
			t.Errorf("%s is no object", text)
		}
	}
}

func TestOptionsReadFromJSONKeepWhatTheyCannotHold(t *testing.T) {
	var options CallOptions
	text := `{"timeout_ms":18446744073709551615,"attempt_timeout_ms":-1,"max_attempts":0,"cache":{"ttl_ms":"x"},"idempotency_key":"","no_such":1,"hedge":null}`
	if err := json.Unmarshal([]byte(text), &options); err != nil {
		t.Fatal(err)
	}
	if len(options.Extra) != 7 || options.Timeout != 0 || options.MaxAttempts != 0 {
		t.Errorf("%+v", options)
	}
}

func TestAnyTextIsWrittenAsJSON(t *testing.T) {
	for _, text := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é漢🎉\u2028", "a\xffb\xc3", "\xed\xa0\x80", strings.Repeat("x\n", 500)} {
		var back string
		if err := json.Unmarshal(appendString(nil, text), &back); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); back != want && len(back) < len(want) {
			t.Errorf("%q came back as %q", text, back)
		}
		d := decoder{data: appendString(nil, text)}
		if read := d.text(); read != back || d.done() != nil {
			t.Errorf("%q was read as %q", text, read)
		}
	}
	d := decoder{data: []byte(`"\u00e9\ud83c\udf89\/\b\f\ud800x"`)}
	if text := d.text(); text != "é🎉/\b\f\ufffdx" {
		t.Errorf("%q", text)
	}
}

func TestWhatIsNoJSONIsAnErrorAndNeverAPanic(t *testing.T) {
	whole := `{"id":"a\u0041","text":"b","parts":[{"type":"text","text":"b"},{"type":"new","x":[1,{"y":null}]}],"usage":{"input_tokens":1},` +
		`"cost":{"total":null,"status":"unknown"},"created":7,"extra":{"a":true},"dropped_params":["x"],"attempts":[{"error":"timeout"}],"trace":{"steps":[]}}`
	if err := json.Unmarshal([]byte(whole), new(Completion)); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		c, e, v := Completion{}, EmbeddingResponse{}, StreamEvent{}
		d := decoder{data: []byte(whole[:i])}
		if c.decode(&d); d.done() == nil {
			t.Errorf("%q was read", whole[:i])
		}
		for _, text := range []string{whole[:i], whole[:i] + "x" + whole[i+1:], whole[i:]} {
			c.decode(&decoder{data: []byte(text)})
			e.decode(&decoder{data: []byte(text)})
			v.decode(&decoder{data: []byte(text)})
		}
	}
	deep := decoder{data: []byte(strings.Repeat("[", 10_000))}
	if deep.skip(); deep.err == nil {
		t.Error("no end to the depth")
	}
	for _, text := range []string{"", "-", "1.5", "99999999999999999999", "x"} {
		d := decoder{data: []byte(text)}
		if d.unsigned(); d.err == nil {
			t.Errorf("%q is no number of ours", text)
		}
	}
	if errorOf([]byte("x")).Kind != ErrInternal {
		t.Error("an error that cannot be read is internal")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"a","parts":[{"type":"text","text":"\u00e9"}],"usage":{"input_tokens":1}}`))
	f.Add([]byte(`[{"type":"text_delta","index":0,"text":"a"},{"type":"end","completion":{}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var read, reflected Completion
		if json.Valid(text) && json.Unmarshal(text, &read) == nil {
			if again, err := json.Marshal(read); err != nil || json.Unmarshal(again, &reflected) != nil {
				t.Errorf("%s: %s: %v", text, again, err)
			}
		}
		d := decoder{data: text}
		read.decode(&d)
		s := Stream{}
		_ = s.read(text)
	})
}

func TestDurationsAreNeverShorterThanAsked(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, math.MaxInt64: 9223372036855} {
		if got := milliseconds(d); got != want {
			t.Errorf("%v: %d", d, got)
		}
	}
}

func TestMoneyIsShownInDollars(t *testing.T) {
	for amount, want := range map[NanoUSD]string{0: "$0.00", 1_500_000_000: "$1.50", 12_000: "$0.000012", math.MaxUint64: "$18446744073.709551615"} {
		if got := amount.String(); got != want {
			t.Errorf("%d: %s", uint64(amount), got)
		}
	}
}

func TestExtraFieldsAreReadIntoValues(t *testing.T) {
	extra := Extra{"a": json.RawMessage(`[1,2]`), "b": map[string]int{"c": 3}, "d": make(chan int)}
	var list []int
	var fields map[string]int
	if !extra.Get("a", &list) || len(list) != 2 || !extra.Get("b", &fields) || fields["c"] != 3 {
		t.Error(list, fields)
	}
	if extra.Get("none", &list) || extra.Get("b", &list) || extra.Get("d", &list) {
		t.Error("read what is not there")
	}
}

func TestTheCoreKnowsEveryFieldOfATool(t *testing.T) {
	var want, got []string
	if err := json.Unmarshal(native.FieldNames("ToolSpec"), &want); err != nil {
		t.Fatal(err)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[toolSpec]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			got = append(got, name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%v, the core has %v", got, want)
	}
}

func TestAToolsEventsAreTheSameAgain(t *testing.T) {
	for _, text := range []string{
		`{"type":"turn","turn":2}`,
		`{"type":"tool_started","turn":1,"id":"a","name":"f","input":{"n":1.50}}`,
		`{"type":"tool_result","turn":1,"id":"a","name":"f","tool_id":"g","input":{},"outcome":"failed","error":{"type":"E","message":"m","path":""},"duration_us":7}`,
		`{"type":"tool_result","turn":1,"id":"a","name":"f","outcome":"ok","output":null,"duration_us":7}`,
	} {
		var event StreamEvent
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(event); err != nil || string(again) != text {
			t.Errorf("%s became %s: %v", text, again, err)
		}
	}
}
