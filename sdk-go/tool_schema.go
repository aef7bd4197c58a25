package ossai

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The JSON Schema of a Go type, as encoding/json reads it.

type schema = map[string]any

var (
	timeType      = reflect.TypeFor[time.Time]()
	numberType    = reflect.TypeFor[json.Number]()
	readsJSON     = reflect.TypeFor[json.Unmarshaler]()
	readsText     = reflect.TypeFor[encoding.TextUnmarshaler]()
	byteSliceType = reflect.TypeFor[[]byte]()
)

// A schemas is the types on the way to the one being described: one that comes again refers to where it began.
type schemas struct {
	root  reflect.Type
	under map[reflect.Type]bool
	again map[reflect.Type]string // those that refer to themselves, by their name in $defs
	defs  schema
}

// schemaOf is the schema of a tool's input: an object.
func schemaOf[In any]() (schema, error) {
	root := reflect.TypeFor[In]()
	for root.Kind() == reflect.Pointer {
		root = root.Elem()
	}
	plain := !reads(root, readsJSON) && !reads(root, readsText)
	if !plain || root.Kind() != reflect.Struct && root.Kind() != reflect.Map {
		return nil, invalid("tools.input", fmt.Sprintf("expected a struct or a map, or a schema (WithSchema), found %v", root))
	}
	s := &schemas{root: root, under: map[reflect.Type]bool{}, again: map[reflect.Type]string{}, defs: schema{}}
	made, fault := s.of(root, root.String())
	if fault != nil {
		return nil, fault
	}
	if len(s.defs) > 0 {
		made["$defs"] = s.defs
	}
	return made, nil
}

// reads is whether a type, or a pointer to it, reads itself.
func reads(t, how reflect.Type) bool {
	return t.Implements(how) || reflect.PointerTo(t).Implements(how)
}

func unsupported(at string, t reflect.Type) *Error {
	return invalid("tools.input", fmt.Sprintf("%s: expected a type JSON can hold, found %v", at, t))
}

func (s *schemas) of(t reflect.Type, at string) (schema, *Error) {
	switch {
	case t == timeType:
		return schema{"type": "string", "format": "date-time"}, nil
	case t == numberType:
		return schema{"type": "number"}, nil
	case t.Kind() == reflect.Pointer:
		of, fault := s.of(t.Elem(), at)
		if fault != nil || len(of) == 0 {
			return of, fault
		}
		if kind, ok := of["type"].(string); ok && of["enum"] == nil {
			of["type"] = []string{kind, "null"}
			return of, nil
		}
		return schema{"anyOf": []schema{of, {"type": "null"}}}, nil
	case reads(t, readsJSON):
		return schema{}, nil
	case reads(t, readsText):
		return schema{"type": "string"}, nil
	case t == byteSliceType:
		return schema{"type": "string", "contentEncoding": "base64"}, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return schema{"type": "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return schema{"type": "integer", "minimum": 0}, nil
	case reflect.Float32, reflect.Float64:
		return schema{"type": "number"}, nil
	case reflect.String:
		return schema{"type": "string"}, nil
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return nil, unsupported(at, t)
		}
		return schema{}, nil
	case reflect.Slice, reflect.Array:
		return s.whole(t, at, s.list)
	case reflect.Map:
		return s.whole(t, at, s.table)
	case reflect.Struct:
		return s.whole(t, at, s.object)
	}
	return nil, unsupported(at, t)
}

// whole describes a type that may hold itself.
func (s *schemas) whole(t reflect.Type, at string, describe func(reflect.Type, string) (schema, *Error)) (schema, *Error) {
	if s.under[t] {
		if t == s.root {
			return schema{"$ref": "#"}, nil
		}
		name, known := s.again[t]
		if !known {
			name = "T" + strconv.Itoa(len(s.again)+1)
			if t.Name() != "" && !strings.ContainsAny(t.Name(), "[/.") {
				name = t.Name() + strconv.Itoa(len(s.again)+1)
			}
			s.again[t] = name
		}
		return schema{"$ref": "#/$defs/" + name}, nil
	}
	s.under[t] = true
	defer delete(s.under, t)
	made, fault := describe(t, at)
	name, refers := s.again[t]
	if fault != nil || !refers || t == s.root {
		return made, fault
	}
	s.defs[name] = made
	return schema{"$ref": "#/$defs/" + name}, nil
}

func (s *schemas) list(t reflect.Type, at string) (schema, *Error) {
	items, fault := s.of(t.Elem(), at+"[]")
	if fault != nil {
		return nil, fault
	}
	made := schema{"type": "array", "items": items}
	if t.Kind() == reflect.Array {
		made["minItems"], made["maxItems"] = t.Len(), t.Len()
	}
	return made, nil
}

func (s *schemas) table(t reflect.Type, at string) (schema, *Error) {
	made := schema{"type": "object"}
	switch key := t.Key(); {
	case key.Kind() == reflect.String, reads(key, readsText):
	case key.Kind() >= reflect.Int && key.Kind() <= reflect.Uintptr:
		made["propertyNames"] = schema{"pattern": "^-?[0-9]+$"}
	default:
		return nil, unsupported(at, t)
	}
	values, fault := s.of(t.Elem(), at+"[]")
	if fault != nil {
		return nil, fault
	}
	made["additionalProperties"] = values
	return made, nil
}

func (s *schemas) object(t reflect.Type, at string) (schema, *Error) {
	properties, required := schema{}, []string{}
	if fault := s.members(t, at, properties, &required); fault != nil {
		return nil, fault
	}
	made := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		made["required"] = required
	}
	return made, nil
}

// members adds a struct's fields; those of an embedded struct are its own unless it has one of the name.
func (s *schemas) members(t reflect.Type, at string, properties schema, required *[]string) *Error {
	var embedded []reflect.Type
	for i := range t.NumField() {
		field := t.Field(i)
		tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == "-" && options == "" {
			continue
		}
		if inner := field.Type; field.Anonymous && tag == "" {
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				if !field.IsExported() && field.Type.Kind() == reflect.Pointer {
					return unsupported(at+"."+field.Name, field.Type) // encoding/json cannot make one
				}
				embedded = append(embedded, inner)
				continue
			}
		}
		if !field.IsExported() {
			continue
		}
		name := tag
		if name == "" {
			name = field.Name
		}
		if _, twice := properties[name]; twice {
			continue
		}
		made, fault := s.of(field.Type, at+"."+field.Name)
		if fault != nil {
			return fault
		}
		says := "," + options + ","
		if strings.Contains(says, ",string,") {
			made = schema{"type": "string"}
		}
		if text := field.Tag.Get("description"); text != "" {
			if _, refers := made["$ref"]; refers {
				made = schema{"allOf": []schema{made}}
			}
			made["description"] = text
		}
		if words := field.Tag.Get("enum"); words != "" {
			if field.Type.Kind() != reflect.String {
				return invalid("tools.input", fmt.Sprintf("%s.%s: expected text where there is an enum tag, found %v", at, field.Name, field.Type))
			}
			made["enum"] = strings.Split(words, ",")
		}
		properties[name] = made
		if field.Type.Kind() != reflect.Pointer && !strings.Contains(says, ",omitempty,") && !strings.Contains(says, ",omitzero,") {
			*required = append(*required, name)
		}
	}
	for _, inner := range embedded {
		if s.under[inner] && inner != t {
			return unsupported(at, inner) // it would embed itself
		}
		s.under[inner] = true
		fault := s.members(inner, at+"."+inner.Name(), properties, required)
		delete(s.under, inner)
		if fault != nil {
			return fault
		}
	}
	return nil
}
