package ossai

import (
	"encoding/json"
	"strconv"
)

// Requests as JSON and back. Reading keeps what it cannot hold (another type, null, an empty text) in Extra, so that a request
// that a program passes on is the one it was given, and the core says what is wrong with it.

func (r *CompletionRequest) encode(e *encoder) {
	f := e.fields(r.Extra)
	f.text("model", r.Model)
	each(f, "messages", r.Messages, func(e *encoder, m *Message) { m.encode(e) })
	each(f, "tools", r.Tools, func(e *encoder, t *Tool) { t.encode(e) })
	switch {
	case r.ToolChoice.Function != "":
		f.value("tool_choice", map[string]string{"name": r.ToolChoice.Function})
	default:
		f.text("tool_choice", r.ToolChoice.Mode)
	}
	f.boolean("parallel_tool_calls", r.ParallelToolCalls)
	if r.ResponseFormat != nil && f.wanted("response_format", true) {
		f.name("response_format")
		f.path = append(f.path, step{"response_format", -1})
		r.ResponseFormat.encode(e)
		f.path = f.path[:len(f.path)-1]
	}
	f.integer("max_tokens", r.MaxTokens)
	f.float("temperature", r.Temperature)
	f.float("top_p", r.TopP)
	f.integer("top_k", r.TopK)
	f.float("frequency_penalty", r.FrequencyPenalty)
	f.float("presence_penalty", r.PresencePenalty)
	f.integerAt("seed", r.Seed)
	f.texts("stop", r.Stop)
	f.text("reasoning_effort", string(r.ReasoningEffort))
	f.text("service_tier", r.ServiceTier)
	if len(r.Metadata) > 0 {
		f.value("metadata", map[string]any(r.Metadata))
	}
	f.text("user", r.User)
	f.close()
}

func (m *Message) encode(e *encoder) {
	f := e.fields(m.Extra)
	f.text("role", string(m.Role))
	if m.Parts != nil {
		each(f, "content", m.Parts, func(e *encoder, p *Part) { p.encode(e) })
	} else {
		f.text("content", m.Content)
	}
	f.text("name", m.Name)
	each(f, "tool_calls", m.ToolCalls, func(e *encoder, c *ToolCall) { c.encode(e) })
	f.text("tool_call_id", m.ToolCallID)
	f.truth("is_error", m.IsError)
	f.close()
}

func (p *Part) encode(e *encoder) {
	f := e.fields(p.Extra)
	f.text("type", p.Type)
	switch p.Type {
	case "text", "refusal", "reasoning":
		f.always("text", p.Text)
	default:
		f.text("text", p.Text)
	}
	f.text("url", p.URL)
	f.text("data", p.Data)
	f.text("media_type", p.MediaType)
	f.text("detail", p.Detail)
	f.text("format", p.Format)
	f.text("file_id", p.FileID)
	f.text("filename", p.Filename)
	f.text("signature", p.Signature)
	f.text("redacted", p.Redacted)
	if p.Type == "tool_call" {
		f.always("id", p.ID)
		f.always("name", p.Name)
		f.always("arguments", p.Arguments)
	} else {
		f.text("id", p.ID)
		f.text("name", p.Name)
		f.text("arguments", p.Arguments)
	}
	f.close()
}

func (c *ToolCall) encode(e *encoder) {
	f := e.fields(c.Extra)
	f.always("id", c.ID)
	f.always("name", c.Name)
	f.always("arguments", c.Arguments)
	f.close()
}

func (t *Tool) encode(e *encoder) {
	f := e.fields(t.Extra)
	f.text("type", t.Type)
	f.text("name", t.Name)
	f.text("description", t.Description)
	f.value("parameters", t.Parameters)
	f.boolean("strict", t.Strict)
	f.close()
}

func (r *ResponseFormat) encode(e *encoder) {
	f := e.fields(nil)
	f.text("type", r.Type)
	f.text("name", r.Name)
	f.value("schema", r.Schema)
	f.boolean("strict", r.Strict)
	f.text("description", r.Description)
	f.close()
}

func (r *EmbeddingRequest) encode(e *encoder) {
	f := e.fields(r.Extra)
	f.text("model", r.Model)
	switch {
	case r.InputTokens != nil && r.Input != nil:
		f.wrong("input", "expected texts or lists of tokens, found both")
	case r.InputTokens != nil:
		f.value("input", r.InputTokens)
	default:
		f.texts("input", r.Input)
	}
	f.integer("dimensions", r.Dimensions)
	f.text("user", r.User)
	f.close()
}

func marshal(write func(*encoder)) ([]byte, error) {
	e := newEncoder()
	defer e.free()
	write(e)
	if e.fault != nil {
		return nil, e.fault
	}
	return append([]byte(nil), e.buf...), nil
}

// MarshalJSON is the request as it crosses every language's border.
func (r CompletionRequest) MarshalJSON() ([]byte, error) { return marshal(r.encode) }

// MarshalJSON is the message as it crosses every language's border.
func (m Message) MarshalJSON() ([]byte, error) { return marshal(m.encode) }

// MarshalJSON is the part as it crosses every language's border.
func (p Part) MarshalJSON() ([]byte, error) { return marshal(p.encode) }

// MarshalJSON is the tool call as it crosses every language's border.
func (c ToolCall) MarshalJSON() ([]byte, error) { return marshal(c.encode) }

// MarshalJSON is the tool as it crosses every language's border.
func (t Tool) MarshalJSON() ([]byte, error) { return marshal(t.encode) }

// MarshalJSON is the request as it crosses every language's border.
func (r EmbeddingRequest) MarshalJSON() ([]byte, error) { return marshal(r.encode) }

// A keeper puts a member where it belongs; false when it does not fit there.
type keeper func(name string, raw json.RawMessage) bool

// lossless reads an object; what keep does not take is extra.
func lossless(data []byte, keep keeper) (Extra, error) {
	d := decoder{data: data}
	var extra Extra
	if !d.open('{') {
		return nil, invalid("", "expected a JSON object")
	}
	for first := true; d.more('}', &first); {
		name := string(d.key())
		raw := d.raw()
		if d.err == nil && !keep(name, raw) {
			if extra == nil {
				extra = Extra{}
			}
			extra[name] = raw
		}
	}
	return extra, d.done()
}

func keepText[T ~string](place *T, raw json.RawMessage) bool {
	if len(raw) < 3 || raw[0] != '"' {
		return false // not a text, or an empty one: it would be left out again
	}
	d := decoder{data: raw}
	*place = T(d.text())
	return d.done() == nil
}

// number of a kind, unless it is one that would be left out or changed again.
func keepInt(place *int64, raw json.RawMessage) bool {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n == 0 {
		return false
	}
	*place = n
	return true
}

func keepAs[T any](place **T, raw json.RawMessage) bool {
	if string(raw) == "null" {
		return false
	}
	value := new(T)
	if json.Unmarshal(raw, value) != nil {
		return false
	}
	*place = value
	return true
}

func keepList[T any](place *[]T, raw json.RawMessage) bool {
	if len(raw) == 0 || raw[0] != '[' {
		return false
	}
	list := []T{}
	if json.Unmarshal(raw, &list) != nil {
		return false
	}
	*place = list
	return true
}

func keepTexts(place *[]string, raw json.RawMessage) bool {
	var list []*string
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return false
	}
	texts := make([]string, len(list))
	for i, text := range list {
		if text == nil {
			return false
		}
		texts[i] = *text
	}
	*place = texts
	return true
}

// UnmarshalJSON reads a request; see [CompletionRequest].
func (r *CompletionRequest) UnmarshalJSON(data []byte) (err error) {
	*r = CompletionRequest{}
	r.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "model":
			return keepText(&r.Model, raw)
		case "messages":
			return keepList(&r.Messages, raw)
		case "tools":
			return keepList(&r.Tools, raw)
		case "tool_choice":
			return r.ToolChoice.keep(raw)
		case "parallel_tool_calls":
			return keepAs(&r.ParallelToolCalls, raw)
		case "response_format":
			return r.keepFormat(raw)
		case "max_tokens":
			return keepInt(&r.MaxTokens, raw)
		case "temperature":
			return keepAs(&r.Temperature, raw)
		case "top_p":
			return keepAs(&r.TopP, raw)
		case "top_k":
			return keepInt(&r.TopK, raw)
		case "frequency_penalty":
			return keepAs(&r.FrequencyPenalty, raw)
		case "presence_penalty":
			return keepAs(&r.PresencePenalty, raw)
		case "seed":
			return keepAs(&r.Seed, raw)
		case "stop":
			return keepTexts(&r.Stop, raw)
		case "reasoning_effort":
			return keepText(&r.ReasoningEffort, raw)
		case "service_tier":
			return keepText(&r.ServiceTier, raw)
		case "metadata":
			d := decoder{data: raw}
			r.Metadata = d.extra()
			return d.done() == nil && len(r.Metadata) > 0
		case "user":
			return keepText(&r.User, raw)
		}
		return false
	})
	return err
}

func (c *ToolChoice) keep(raw json.RawMessage) bool {
	if keepText(&c.Mode, raw) {
		return true
	}
	var function map[string]string
	if json.Unmarshal(raw, &function) != nil || len(function) != 1 || function["name"] == "" {
		return false
	}
	c.Function = function["name"]
	return true
}

func (r *CompletionRequest) keepFormat(raw json.RawMessage) bool {
	format := &ResponseFormat{}
	extra, err := lossless(raw, func(name string, raw json.RawMessage) bool {
		switch name {
		case "type":
			return keepText(&format.Type, raw)
		case "name":
			return keepText(&format.Name, raw)
		case "schema":
			format.Schema = raw
			return true
		case "strict":
			return keepAs(&format.Strict, raw)
		case "description":
			return keepText(&format.Description, raw)
		}
		return false
	})
	if err != nil || extra != nil {
		return false
	}
	r.ResponseFormat = format
	return true
}

// UnmarshalJSON reads a message; see [CompletionRequest].
func (m *Message) UnmarshalJSON(data []byte) (err error) {
	*m = Message{}
	m.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "role":
			return keepText(&m.Role, raw)
		case "content":
			return keepText(&m.Content, raw) || keepList(&m.Parts, raw)
		case "name":
			return keepText(&m.Name, raw)
		case "tool_calls":
			return keepList(&m.ToolCalls, raw)
		case "tool_call_id":
			return keepText(&m.ToolCallID, raw)
		case "is_error":
			m.IsError = string(raw) == "true"
			return m.IsError
		}
		return false
	})
	return err
}

// UnmarshalJSON reads a part; see [CompletionRequest].
func (p *Part) UnmarshalJSON(data []byte) error {
	d := decoder{data: data}
	p.decode(&d)
	return d.done()
}

func (p *Part) place(name string) *string {
	switch name {
	case "text":
		return &p.Text
	case "url":
		return &p.URL
	case "data":
		return &p.Data
	case "media_type":
		return &p.MediaType
	case "detail":
		return &p.Detail
	case "format":
		return &p.Format
	case "file_id":
		return &p.FileID
	case "filename":
		return &p.Filename
	case "signature":
		return &p.Signature
	case "redacted":
		return &p.Redacted
	case "id":
		return &p.ID
	case "name":
		return &p.Name
	case "arguments":
		return &p.Arguments
	}
	return nil
}

func (p *Part) decode(d *decoder) {
	*p = Part{}
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		key := d.key()
		text := d.peek() == '"'
		if text && string(key) == "type" {
			p.Type = d.word()
			continue
		}
		// An empty text would be left out again where the type does not always have it.
		if place := p.place(string(key)); text && place != nil && d.pos+1 < len(d.data) && d.data[d.pos+1] != '"' {
			*place = d.text()
			continue
		}
		name := string(key)
		raw := d.raw()
		if p.Extra == nil {
			p.Extra = Extra{}
		}
		p.Extra[name] = raw
	}
	// Those the type always has are themselves again.
	for _, name := range p.always() {
		if raw, ok := p.Extra[name].(json.RawMessage); ok && string(raw) == `""` {
			delete(p.Extra, name)
		}
	}
	if len(p.Extra) == 0 {
		p.Extra = nil
	}
}

// always are the fields that are written although they are empty.
func (p *Part) always() []string {
	switch p.Type {
	case "text", "refusal", "reasoning":
		return alwaysText
	case "tool_call":
		return alwaysToolCall
	}
	return nil
}

var (
	alwaysText     = []string{"text"}
	alwaysToolCall = []string{"id", "name", "arguments"}
)

// UnmarshalJSON reads a tool call; see [CompletionRequest].
func (c *ToolCall) UnmarshalJSON(data []byte) (err error) {
	*c = ToolCall{}
	c.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "id":
			return keepText(&c.ID, raw) || string(raw) == `""`
		case "name":
			return keepText(&c.Name, raw) || string(raw) == `""`
		case "arguments":
			return keepText(&c.Arguments, raw) || string(raw) == `""`
		}
		return false
	})
	return err
}

// UnmarshalJSON reads a tool; see [CompletionRequest].
func (t *Tool) UnmarshalJSON(data []byte) (err error) {
	*t = Tool{}
	t.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "type":
			return keepText(&t.Type, raw)
		case "name":
			return keepText(&t.Name, raw)
		case "description":
			return keepText(&t.Description, raw)
		case "parameters":
			t.Parameters = raw
			return string(raw) != "null"
		case "strict":
			return keepAs(&t.Strict, raw)
		}
		return false
	})
	return err
}

// UnmarshalJSON reads a request; see [CompletionRequest].
func (r *EmbeddingRequest) UnmarshalJSON(data []byte) (err error) {
	*r = EmbeddingRequest{}
	r.Extra, err = lossless(data, func(name string, raw json.RawMessage) bool {
		switch name {
		case "model":
			return keepText(&r.Model, raw)
		case "input":
			return keepTexts(&r.Input, raw)
		case "dimensions":
			return keepInt(&r.Dimensions, raw)
		case "user":
			return keepText(&r.User, raw)
		}
		return false
	})
	return err
}
