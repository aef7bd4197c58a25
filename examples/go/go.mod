module github.com/ossai-dev/ossai-go/examples

go 1.24

require github.com/ossai-dev/ossai-go v0.1.0

require (
	github.com/ossai-dev/ossai-go/lib/linux-amd64 v0.1.0 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-arm64 v0.1.0 // indirect
)

replace (
	github.com/ossai-dev/ossai-go => ../../sdk-go
	github.com/ossai-dev/ossai-go/lib/linux-amd64 => ../../sdk-go/lib/linux-amd64
	github.com/ossai-dev/ossai-go/lib/linux-arm64 => ../../sdk-go/lib/linux-arm64
)
