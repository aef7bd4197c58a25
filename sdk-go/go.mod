module github.com/ossai-dev/ossai-go

go 1.24

require (
	github.com/ossai-dev/ossai-go/lib/linux-amd64 v0.1.0
	github.com/ossai-dev/ossai-go/lib/linux-arm64 v0.1.0
)

replace (
	github.com/ossai-dev/ossai-go/lib/linux-amd64 => ./lib/linux-amd64
	github.com/ossai-dev/ossai-go/lib/linux-arm64 => ./lib/linux-arm64
)
