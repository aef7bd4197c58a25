module github.com/ossai-dev/ossai-go/lib/linux-arm64

go 1.24
