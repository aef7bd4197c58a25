package tests

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ossai-dev/ossai-go"
	"github.com/ossai-dev/ossai-go/internal/native"
)

// The package knows the names the core knows: a field added there is missed here, by name.

func list(t *testing.T, text []byte) []string {
	t.Helper()
	var names []string
	if err := json.Unmarshal(text, &names); err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	slices.Sort(names)
	return names
}

func tags(of any) []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryFieldOfTheCoresTypesHasItsPlaceAndNoneIsMadeUp(t *testing.T) {
	own := []string{"cost", "cache", "attempts", "request_id", "timing", "trace", "tool_run"}
	for name, of := range map[string]any{
		"Answer": ossai.Completion{}, "EmbeddingResponse": ossai.EmbeddingResponse{}, "Embedding": ossai.Embedding{}, "Usage": ossai.Usage{},
		"Cost": ossai.Cost{}, "CacheOutcome": ossai.CacheOutcome{}, "Attempt": ossai.Attempt{}, "Timing": ossai.Timing{}, "Trace": ossai.Trace{},
		"TraceStep": ossai.TraceStep{}, "Stats": ossai.Stats{}, "TokenCount": ossai.TokenCount{}, "Health": ossai.Health{}, "BudgetState": ossai.BudgetState{},
		"ModelInfo": ossai.ModelInfo{}, "Error": ossai.Error{}, "Config": ossai.Config{}, "CallOptions": ossai.CallOptions{},
		"EstimateOptions": ossai.EstimateOptions{}, "ToolRun": ossai.ToolRun{}, "ToolTurn": ossai.ToolTurn{},
		"ToolCallRecord": ossai.ToolCallRecord{}, "LoopOptions": ossai.LoopOptions{},
	} {
		want := list(t, native.FieldNames(name))
		if name == "Answer" {
			want = append(want, own...)
			slices.Sort(want)
		}
		if got := tags(of); !slices.Equal(got, want) {
			t.Errorf("%s: %v, the core has %v", name, got, want)
		}
	}
}

func TestEverySettingHasItsPlace(t *testing.T) {
	var defaults map[string]json.RawMessage
	if err := json.Unmarshal(native.DefaultConfig(), &defaults); err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[ossai.Config]()
	checked := 0
	for _, field := range reflect.VisibleFields(config) {
		var section map[string]json.RawMessage
		if field.Type.Kind() != reflect.Struct || json.Unmarshal(defaults[field.Tag.Get("json")], &section) != nil {
			continue
		}
		var want []string
		for name := range section {
			want = append(want, name)
		}
		slices.Sort(want)
		if got := tags(reflect.Zero(field.Type).Interface()); len(want) > 0 && !slices.Equal(got, want) {
			t.Errorf("%s: %v, the core has %v", field.Name, got, want)
		}
		checked++
	}
	if checked < 10 {
		t.Errorf("%d sections", checked)
	}
}

func TestEveryOperationHasItsMethod(t *testing.T) {
	client := reflect.TypeFor[*ossai.Client]()
	for _, name := range list(t, native.Operations()) {
		method := ""
		for _, word := range strings.Split(name, "_") {
			method += strings.ToUpper(word[:1]) + word[1:]
		}
		if _, found := client.MethodByName(method); !found {
			t.Errorf("%s: no method %s", name, method)
		}
	}
}

func TestEveryKindOfErrorIsAConstant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok {
			got = append(got, strings.Trim(literal.Value, `"`))
		}
		return true
	})
	var rows []struct{ Name string }
	if err := json.Unmarshal(native.ErrorKinds(), &rows); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range rows {
		want = append(want, row.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, the core has %v: go run ./internal/kinds >kinds.go", got, want)
	}
}

func TestTheLibraryIsThisModulesVersionAndItsHeaderTheSame(t *testing.T) {
	equal(t, "version", native.Version(), ossai.Version)
	ours, err := os.ReadFile("../internal/native/ossai.h")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../../bindings/c/include/ossai.h")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "header", string(ours), string(theirs))
	equal(t, "digest", len(native.Library), 64)
}
