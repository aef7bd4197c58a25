module github.com/ossai-dev/ossai-go/bench

go 1.26.0

require (
	github.com/openai/openai-go/v3 v3.96.0
	github.com/ossai-dev/ossai-go v0.1.0
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-amd64 v0.1.0 // indirect
	github.com/ossai-dev/ossai-go/lib/linux-arm64 v0.1.0 // indirect
	github.com/tidwall/gjson v1.20.0 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.1 // indirect
	github.com/tidwall/sjson v1.2.5 // indirect
)

replace (
	github.com/ossai-dev/ossai-go => ../../sdk-go
	github.com/ossai-dev/ossai-go/lib/linux-amd64 => ../../sdk-go/lib/linux-amd64
	github.com/ossai-dev/ossai-go/lib/linux-arm64 => ../../sdk-go/lib/linux-arm64
)
