//go:build !cgo || !linux || !(amd64 || arm64)

package native

// The compiler prints the name: it is the message.
var _ = ossai_needs_cgo_on_linux_amd64_or_arm64__build_with_CGO_ENABLED_1_and_a_C_compiler
