module github.com/ossai-dev/ossai-go/tests

go 1.24

require (
	github.com/ossai-dev/ossai-go v0.1.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/ossai-dev/ossai-go/lib/linux-amd64 v0.1.0 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-arm64 v0.1.0 // indirect
)

replace (
	github.com/ossai-dev/ossai-go => ..
	github.com/ossai-dev/ossai-go/lib/linux-amd64 => ../lib/linux-amd64
	github.com/ossai-dev/ossai-go/lib/linux-arm64 => ../lib/linux-arm64
)
