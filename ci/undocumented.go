// Prints a Go package's documentation as text, and fails when something exported has none: `go run undocumented.go FOLDER >FILE`.
package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	files := token.NewFileSet()
	notTests := func(file fs.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }
	packages, err := parser.ParseDir(files, os.Args[1], notTests, parser.ParseComments)
	if err != nil {
		log.Fatal(err)
	}
	missing := 0
	needs := func(what, text string) {
		if strings.TrimSpace(text) == "" {
			missing++
			log.Printf("FAIL %s: %s has no documentation", os.Args[1], what)
		}
	}
	for _, parsed := range packages {
		names := []*ast.File{}
		for _, file := range parsed.Files {
			names = append(names, file)
		}
		api, err := doc.NewFromFiles(files, names, os.Args[1])
		if err != nil {
			log.Fatal(err)
		}
		needs("package "+api.Name, api.Doc)
		functions := func(of string, list []*doc.Func) {
			for _, function := range list {
				needs(of+function.Name, function.Doc)
				fmt.Printf("func %s%s\n%s\n", of, function.Name, function.Doc)
			}
		}
		// One comment may stand for a group; a field or constant of its own line may have one of its own.
		values := func(list []*doc.Value) {
			for _, group := range list {
				for _, spec := range group.Decl.Specs {
					value := spec.(*ast.ValueSpec)
					if value.Names[0].IsExported() {
						needs(value.Names[0].Name, group.Doc+value.Doc.Text()+value.Comment.Text())
					}
				}
				fmt.Printf("%s\n%s\n", strings.Join(group.Names, ", "), group.Doc)
			}
		}
		fmt.Printf("package %s\n\n%s\n", api.Name, api.Doc)
		values(api.Consts)
		values(api.Vars)
		functions("", api.Funcs)
		for _, kind := range api.Types {
			needs(kind.Name, kind.Doc)
			fmt.Printf("type %s\n%s\n", kind.Name, kind.Doc)
			values(kind.Consts)
			values(kind.Vars)
			functions("", kind.Funcs)
			functions(kind.Name+".", kind.Methods)
		}
	}
	if missing > 0 {
		os.Exit(1)
	}
}
