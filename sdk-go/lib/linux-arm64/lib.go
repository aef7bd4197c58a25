//go:build cgo && linux && arm64

// Package lib brings the static library of ossai for linux/arm64 (glibc). The SDK imports it where it fits; nothing else should.
package lib

// #cgo LDFLAGS: ${SRCDIR}/libossai.a -lm -ldl -lpthread -lrt -lutil -lgcc_s
import "C"
