package ossai

import (
	"encoding/json"
)

// EventType is the type of a stream's event.
type EventType string

// The types of a stream's events.
const (
	EventStart          EventType = "start"
	EventTextDelta      EventType = "text_delta"
	EventRefusalDelta   EventType = "refusal_delta"
	EventReasoningDelta EventType = "reasoning_delta"
	EventToolCallStart  EventType = "tool_call_start"
	EventToolCallDelta  EventType = "tool_call_delta"
	EventPart           EventType = "part"
	// EventAnnotation is a note on a part: a citation, a source.
	EventAnnotation EventType = "annotation"
	EventUsage      EventType = "usage"
	EventFinish     EventType = "finish"
	EventExtra      EventType = "extra"
	// EventTurn begins a further turn of a tool loop: its parts are numbered anew, and the answer is the last turn's.
	EventTurn EventType = "turn"
	// EventToolStarted is the beginning of a tool's handler.
	EventToolStarted EventType = "tool_started"
	// EventToolResult is what came of a tool call; calls of one turn end in any order.
	EventToolResult EventType = "tool_result"
	EventEnd        EventType = "end"
)

// StreamEvent is one event of a streamed answer; the last of a good one is `end`. Which fields it has depends on its type.
// Index numbers the parts of the answer in order of their first event. Of a type without a name here only Type and Index are
// read.
type StreamEvent struct {
	Type EventType
	// Index is which part; of the deltas, tool_call_start, part and annotation.
	Index int
	// Text is the piece: of text_delta, refusal_delta, reasoning_delta.
	Text string
	// Signature and Redacted are of reasoning_delta.
	Signature string
	Redacted  string
	// ID is the answer's (start) or the tool call's (tool_call_start, tool_started, tool_result).
	ID string
	// Name is the tool's (likewise).
	Name string
	// Arguments is the piece of JSON text (tool_call_delta).
	Arguments string
	// ResponseModel and Created are of start.
	ResponseModel string
	Created       *uint64
	// Part is a whole part of a kind without a name here (part).
	Part json.RawMessage
	// Field is the list of the answer's Extra that has the note, `citations` or `annotations` (annotation).
	Field string
	// Annotation is the note, the vendor's object unchanged (annotation).
	Annotation json.RawMessage
	// Usage is tokens so far; a later one replaces it (usage).
	Usage *Usage
	// Reason is why the model stopped (finish).
	Reason FinishReason
	// Raw is the vendor's own word (finish) or object (usage).
	Raw json.RawMessage
	// Fields are fields of the vendor's answer without a name here (extra), or of a part (reasoning_delta, tool_call_start).
	Fields Extra
	// Turn is which turn: from 2 (turn), or the one whose answer made the call (tool_started, tool_result).
	Turn int
	// Input is the tool call's arguments (tool_started).
	Input json.RawMessage
	// Result is what came of a tool call (tool_result).
	Result *ToolCallRecord
	// Completion is the whole answer (end).
	Completion *Completion
}

// UnmarshalJSON reads an event.
func (e *StreamEvent) UnmarshalJSON(data []byte) error {
	d := decoder{data: data}
	e.decode(&d)
	return d.done()
}

func (e *StreamEvent) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "type":
			e.Type = EventType(d.word())
		case "index":
			e.Index = d.integer()
		case "text":
			e.Text = d.text()
		case "signature":
			e.Signature = d.text()
		case "redacted":
			e.Redacted = d.text()
		case "id":
			e.ID = d.text()
		case "name":
			e.Name = d.text()
		case "arguments":
			e.Arguments = d.text()
		case "response_model":
			e.ResponseModel = d.text()
		case "created":
			e.Created = d.unsignedAt()
		case "part":
			e.Part = d.raw()
		case "field":
			e.Field = d.text()
		case "annotation":
			e.Annotation = d.raw()
		case "usage":
			e.Usage = new(Usage)
			e.Usage.decode(d)
		case "reason":
			e.Reason = FinishReason(d.word())
		case "raw":
			e.Raw = d.raw()
		case "extra", "fields":
			e.Fields = d.extra()
		case "turn":
			e.Turn = d.integer()
		case "input":
			e.Input = d.raw()
		case "tool_id":
			e.result().ToolID = d.text()
		case "outcome":
			e.result().Outcome = ToolOutcome(d.word())
		case "output":
			e.result().Output = d.raw()
		case "error":
			e.result().Error = new(ToolFailure)
			if raw := d.raw(); d.err == nil && json.Unmarshal(raw, e.Result.Error) != nil {
				d.fail()
			}
		case "duration_us":
			e.result().DurationUS = d.unsigned()
		case "completion":
			e.Completion = new(Completion)
			e.Completion.decode(d)
		default:
			d.skip()
		}
	}
	if e.Result != nil {
		e.Result.Turn, e.Result.ID, e.Result.Name, e.Result.Input = e.Turn, e.ID, e.Name, e.Input
	}
}

func (e *StreamEvent) result() *ToolCallRecord {
	if e.Result == nil {
		e.Result = new(ToolCallRecord)
	}
	return e.Result
}

// MarshalJSON is the event as it crosses every language's border.
func (e StreamEvent) MarshalJSON() ([]byte, error) {
	if e.Type == EventToolResult && e.Result != nil {
		return json.Marshal(struct {
			Type EventType `json:"type"`
			*ToolCallRecord
		}{e.Type, e.Result})
	}
	return marshal(func(w *encoder) {
		f := w.fields(nil)
		f.text("type", string(e.Type))
		switch e.Type {
		case EventStart:
			f.always("id", e.ID)
			f.text("response_model", e.ResponseModel)
			if e.Created != nil {
				f.value("created", *e.Created)
			}
		case EventTextDelta, EventRefusalDelta, EventReasoningDelta:
			f.value("index", e.Index)
			f.always("text", e.Text)
			f.text("signature", e.Signature)
			f.text("redacted", e.Redacted)
		case EventToolCallStart:
			f.value("index", e.Index)
			f.always("id", e.ID)
			f.always("name", e.Name)
		case EventToolCallDelta:
			f.value("index", e.Index)
			f.always("arguments", e.Arguments)
		case EventPart:
			f.value("index", e.Index)
			f.value("part", e.Part)
		case EventAnnotation:
			f.value("index", e.Index)
			f.always("field", e.Field)
			f.value("annotation", e.Annotation)
		case EventUsage:
			f.value("usage", e.Usage)
		case EventFinish:
			f.always("reason", string(e.Reason))
		case EventExtra:
			f.value("fields", e.Fields)
		case EventTurn:
			f.value("turn", e.Turn)
		case EventToolStarted:
			f.value("turn", e.Turn)
			f.always("id", e.ID)
			f.always("name", e.Name)
			f.value("input", e.Input)
		case EventEnd:
			f.value("completion", e.Completion)
		}
		if e.Raw != nil {
			f.value("raw", e.Raw)
		}
		if e.Type != EventExtra && len(e.Fields) > 0 {
			f.value("extra", e.Fields)
		}
		f.close()
	})
}
