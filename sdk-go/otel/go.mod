module github.com/ossai-dev/ossai-go/otel

go 1.25.0

require (
	github.com/ossai-dev/ossai-go v0.1.0
	go.opentelemetry.io/otel v1.46.0
	go.opentelemetry.io/otel/metric v1.46.0
	go.opentelemetry.io/otel/trace v1.46.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-amd64 v0.1.0 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-arm64 v0.1.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
)

replace (
	github.com/ossai-dev/ossai-go => ..
	github.com/ossai-dev/ossai-go/lib/linux-amd64 => ../lib/linux-amd64
	github.com/ossai-dev/ossai-go/lib/linux-arm64 => ../lib/linux-arm64
)
