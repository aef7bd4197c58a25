module github.com/ossai-dev/ossai-go/lib/linux-amd64

go 1.24
