//go:build cgo

package native

import lib "github.com/ossai-dev/ossai-go/lib/linux-arm64"

// Library is the digest of the static library that is linked in.
const Library = lib.Digest
