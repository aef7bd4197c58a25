package ossai

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// A ClientOption says how a client is opened. A [Config] is one too.
type ClientOption interface {
	applyClient(*settings) error
}

// Config is the configuration of a client as one value: the same document in every language. Zero values are absent, and have
// the core's defaults; durations are whole milliseconds, rounded up.
type Config struct {
	// Endpoint is an orchestrator (`host:port` or a URL); absent means straight to the providers.
	Endpoint string `json:"endpoint"`
	// APIKey is the orchestrator's key.
	APIKey string `json:"api_key"`
	// Tenant is whose calls these are: part of every key, so that nothing crosses tenants.
	Tenant string `json:"tenant"`
	// Providers are by the name models are asked for under (`name/model`). Known names need only what differs.
	Providers map[string]Provider `json:"providers"`
	// Timeouts is how long things may take.
	Timeouts Timeouts `json:"timeouts"`
	// Retry is when and how often to try again.
	Retry Retry `json:"retry"`
	// Pacing is whether calls wait where a provider has said that nothing is left.
	Pacing Pacing `json:"pacing"`
	// Gather is whether embeddings asked for at the same time go out as one request.
	Gather Gather `json:"gather"`
	// Batch is how calls that are not urgent go through the vendors' batch APIs.
	Batch Batch `json:"batch"`
	// Breaker is when an upstream that keeps failing is left alone.
	Breaker Breaker `json:"breaker"`
	// Hedge is whether a second copy of a late call that is safe goes out.
	Hedge Hedge `json:"hedge"`
	// Fallback is who is asked when a model or an orchestrator cannot answer.
	Fallback Fallback `json:"fallback"`
	// Cache is the caches: in memory, and beneath it.
	Cache Cache `json:"cache"`
	// PromptCache is whether vendors' prompt caches are put to use: `off` (unless said otherwise), `auto`, `5m` or `1h`.
	PromptCache string `json:"prompt_cache"`
	// Coalesce is which calls may share a flight: `deterministic`, `all` or `off`.
	Coalesce string `json:"coalesce"`
	// Limits are bounds on what is read and held.
	Limits Limits `json:"limits"`
	// Budgets are what calls may cost. Over an orchestrator its own hold, and these do not.
	Budgets Budgets `json:"budgets"`
	// Usage is where a record of every direct call is kept; off without a file.
	Usage UsageLedger `json:"usage"`
	// Prices is a file whose prices replace or add to the built-in table.
	Prices string `json:"prices"`
	// Cassette is answers of providers, recorded or given again.
	Cassette Cassette `json:"cassette"`
	// TLS is trust.
	TLS TLS `json:"tls"`
	// Proxy is for providers and the orchestrator alike.
	Proxy Proxy `json:"proxy"`
	// Egress is which hosts and addresses may be connected to.
	Egress Egress `json:"egress"`
	// Trace is whether answers and errors tell why they came out as they did.
	Trace bool `json:"trace"`
	// Testing is for tests only.
	Testing Testing `json:"testing"`
}

// Provider is one provider.
type Provider struct {
	// Kind is whose way of speaking it has: `openai` (also every compatible server) or `anthropic`.
	Kind string `json:"kind"`
	// API is which endpoint completions use.
	API string `json:"api"`
	// BaseURL is up to and including the version (`https://api.openai.com/v1`).
	BaseURL string `json:"base_url"`
	// FallbackURLs are further addresses of the same provider, asked in order and at once when the one before fails.
	FallbackURLs []string `json:"fallback_urls"`
	// APIKey is the credential itself.
	APIKey string `json:"api_key"`
	// APIKeyEnv is the environment variable that holds it.
	APIKeyEnv string `json:"api_key_env"`
	// Auth is which header carries it: `bearer`, `x_api_key`, `api_key` or `none`.
	Auth string `json:"auth"`
	// Headers are sent with every request.
	Headers map[string]string `json:"headers"`
	// Query is sent with every request; never credentials.
	Query map[string]string `json:"query"`
	// Version is `anthropic-version` or the like.
	Version string `json:"version"`
	// AllowHTTP allows plain http to other machines although a credential is sent.
	AllowHTTP bool `json:"allow_http"`
}

// Timeouts is how long things may take.
type Timeouts struct {
	// Total is for a whole call; for a stream until its first event.
	Total time.Duration `json:"total_ms"`
	// Attempt is for one try.
	Attempt time.Duration `json:"attempt_ms"`
	// Connect is for making a connection.
	Connect time.Duration `json:"connect_ms"`
	// FirstByte is from sending to the response headers.
	FirstByte time.Duration `json:"first_byte_ms"`
	// StreamIdle is the longest silence inside a body.
	StreamIdle time.Duration `json:"stream_idle_ms"`
}

// Retry is when and how often to try again.
type Retry struct {
	// MaxAttempts is the most tries, the first included.
	MaxAttempts int `json:"max_attempts"`
	// Base is the first back-off after a transient fault.
	Base time.Duration `json:"base_ms"`
	// ThrottleBase is the first back-off after throttling.
	ThrottleBase time.Duration `json:"throttle_base_ms"`
	// MaxBackoff is the longest computed one.
	MaxBackoff time.Duration `json:"max_backoff_ms"`
	// MaxRetryAfter is the longest wait an upstream may ask for.
	MaxRetryAfter time.Duration `json:"max_retry_after_ms"`
}

// Pacing is whether calls wait where a provider has said that nothing is left.
type Pacing struct {
	Enabled    *bool `json:"enabled"`
	MaxWaiting int   `json:"max_waiting"`
}

// Gather is whether embeddings asked for at the same time go out as one request. A call that finds nothing under way goes at once.
type Gather struct {
	Enabled bool `json:"enabled"`
	// MaxWait is the longest a call waits for others; it never waits longer than half of what requests took lately.
	MaxWait time.Duration `json:"max_wait_ms"`
	// MaxInputs is the most inputs of one request; absent, and at most, what the vendor takes.
	MaxInputs int `json:"max_inputs"`
	// MaxTokens is the most tokens of one request, likewise.
	MaxTokens int `json:"max_tokens"`
}

// Batch is how calls that are not urgent go through the vendors' batch APIs.
type Batch struct {
	// Journal is a file that says which batches are under way, so that the same calls find their answers after a restart.
	Journal string `json:"journal"`
	// Window is how long the first call of a batch waits for others.
	Window time.Duration `json:"window_ms"`
	// MaxRequests is the most requests of one batch; absent, and at most, what the vendor takes.
	MaxRequests int `json:"max_requests"`
	// MaxBytes is the most bytes of one batch, likewise.
	MaxBytes int64 `json:"max_bytes"`
	// Poll is how long after its start a batch is first asked for; each further wait is half as long again.
	Poll time.Duration `json:"poll_ms"`
	// MaxPoll is the longest wait between two looks.
	MaxPoll time.Duration `json:"max_poll_ms"`
	// Timeout is how long a call may take that says nothing of it.
	Timeout time.Duration `json:"timeout_ms"`
}

// Breaker is when an upstream that keeps failing is left alone.
type Breaker struct {
	Enabled        *bool         `json:"enabled"`
	Window         time.Duration `json:"window_ms"`
	MinCalls       int           `json:"min_calls"`
	FailurePercent int           `json:"failure_percent"`
	Open           time.Duration `json:"open_ms"`
	HalfOpen       int           `json:"half_open"`
}

// Hedge is whether a second copy of a late call that is safe goes out.
type Hedge struct {
	Enabled bool `json:"enabled"`
	// After is when; 0 is the 95th percentile measured for the model.
	After time.Duration `json:"after_ms"`
}

// Fallback is who is asked when a model or an orchestrator cannot answer.
type Fallback struct {
	// Models are those asked in another's place, in order, by model.
	Models map[string][]string `json:"models"`
	// On are kinds of errors after which they are asked, beside the usual ones.
	On []ErrorKind `json:"on"`
	// Endpoints are further orchestrators.
	Endpoints []string `json:"endpoints"`
	// Direct asks the providers straight when no orchestrator can be reached.
	Direct bool `json:"direct"`
}

// Cache is the caches: in memory, and beneath it those that outlive the process.
type Cache struct {
	Enabled           *bool         `json:"enabled"`
	MaxBytes          *int64        `json:"max_bytes"`
	EmbeddingMaxBytes *int64        `json:"embedding_max_bytes"`
	TTL               time.Duration `json:"ttl_ms"`
	EmbeddingTTL      time.Duration `json:"embedding_ttl_ms"`
	// Store is which answers are kept: `deterministic` or `all`.
	Store string `json:"store"`
	// StaleWhileRevalidate is how long older answers are still given, while a new one is fetched.
	StaleWhileRevalidate time.Duration `json:"stale_while_revalidate_ms"`
	// StaleIfError is how long they are given where the upstream fails.
	StaleIfError time.Duration `json:"stale_if_error_ms"`
	// EarlyRefresh fetches anew before the time is over: 0 never, 1 as published, more is earlier.
	EarlyRefresh float64 `json:"early_refresh"`
	// Redis is shared by processes and machines.
	Redis *RedisCache `json:"redis"`
	// Disk is on this machine.
	Disk *DiskCache `json:"disk"`
	// Semantic is answers to questions that mean the same; nil means none.
	Semantic *SemanticCache `json:"semantic"`
}

// SemanticCache is answers kept for questions that mean the same.
type SemanticCache struct {
	// Model is the embedding model, `provider/model`, of any provider.
	Model string `json:"model"`
	// Dimensions is the length of its vectors, where the model can shorten them.
	Dimensions int64 `json:"dimensions"`
	// Mode is `serve`, or `shadow`: what is found is measured, and not given.
	Mode string `json:"mode"`
	// Threshold is the cosine of two questions from which on they may be the same.
	Threshold float64 `json:"threshold"`
	// Top is how many of the nearest questions are put to the gates.
	Top        int64         `json:"top"`
	MaxEntries int64         `json:"max_entries"`
	MaxBytes   int64         `json:"max_bytes"`
	TTL        time.Duration `json:"ttl_ms"`
	// Timeout is how long the embedding may take; after it the call goes on without.
	Timeout      time.Duration `json:"timeout_ms"`
	MaxTextBytes int64         `json:"max_text_bytes"`
	// Gates keep two questions apart although their vectors are near.
	Gates SemanticGates `json:"gates"`
	// Verify is a model that is asked whether two questions want the same answer before one is given.
	Verify        string        `json:"verify"`
	VerifyTimeout time.Duration `json:"verify_timeout_ms"`
	// Watch is how the share of false hits is measured, and what it may be.
	Watch SemanticWatch `json:"watch"`
	// Postgres keeps them in PostgreSQL with pgvector, for processes of many machines and over restarts, in place of this
	// process. The library of this module has no client for it and refuses it: an orchestrator keeps them there.
	Postgres *SemanticPostgres `json:"postgres"`
}

// SemanticPostgres is a PostgreSQL with the extension pgvector that keeps answers for all who name the same one.
type SemanticPostgres struct {
	// URL is `postgres://user:password@host/database`; over a network it is TLS.
	URL string `json:"url"`
	// Timeout is how long a look or a write may take.
	Timeout time.Duration `json:"timeout_ms"`
	// Connections are most at once for looks and writes.
	Connections       int64 `json:"connections"`
	MaxEntryBytes     int64 `json:"max_entry_bytes"`
	CompressFromBytes int64 `json:"compress_from_bytes"`
	// Key encrypts what is kept there; all who share it need the same.
	Key string `json:"key"`
}

// SemanticGates keep two questions apart, each unless it is false.
type SemanticGates struct {
	Numbers   *bool `json:"numbers"`
	Negation  *bool `json:"negation"`
	Entities  *bool `json:"entities"`
	Language  *bool `json:"language"`
	Direction *bool `json:"direction"`
}

// SemanticWatch is how the share of false hits is measured: the call is made although an answer was found, and the two are compared.
type SemanticWatch struct {
	// CheckPercent is the share of hits that are checked; nil means 5.
	CheckPercent *float64 `json:"check_percent"`
	// MaxFalsePercent is the share of false ones among them above which the cache turns itself off; nil means 5.
	MaxFalsePercent *float64 `json:"max_false_percent"`
	// Window is how many of the last checks count, MinChecks how few can turn it off.
	Window    int64 `json:"window"`
	MinChecks int64 `json:"min_checks"`
	// AnswerSimilarity is the cosine of two answers from which on they say the same; nil means that only equal texts do.
	AnswerSimilarity *float64 `json:"answer_similarity"`
}

// RedisCache is a cache shared by processes and machines.
type RedisCache struct {
	URL          string        `json:"url"`
	Timeout      time.Duration `json:"timeout_ms"`
	TTL          time.Duration `json:"ttl_ms"`
	EmbeddingTTL time.Duration `json:"embedding_ttl_ms"`
	// ShareCalls lets processes that share it ask once for an answer that several of them want at the same time.
	ShareCalls bool `json:"share_calls"`
	// RelayStreams gives a stream that another process asked for on while it comes, not when it has ended.
	RelayStreams      bool   `json:"relay_streams"`
	Prefix            string `json:"prefix"`
	MaxEntryBytes     int64  `json:"max_entry_bytes"`
	CompressFromBytes int64  `json:"compress_from_bytes"`
	Key               string `json:"key"`
}

// DiskCache is a cache on this machine.
type DiskCache struct {
	Path              string        `json:"path"`
	MaxBytes          int64         `json:"max_bytes"`
	EmbeddingMaxBytes int64         `json:"embedding_max_bytes"`
	Timeout           time.Duration `json:"timeout_ms"`
	TTL               time.Duration `json:"ttl_ms"`
	EmbeddingTTL      time.Duration `json:"embedding_ttl_ms"`
	MaxEntryBytes     int64         `json:"max_entry_bytes"`
	CompressFromBytes int64         `json:"compress_from_bytes"`
	// Encrypt is done unless it is false.
	Encrypt *bool  `json:"encrypt"`
	Key     string `json:"key"`
}

// Limits are bounds on what is read and held, in bytes.
type Limits struct {
	MaxResponseBytes    int64 `json:"max_response_bytes"`
	MaxEventBytes       int64 `json:"max_event_bytes"`
	MaxGRPCMessageBytes int64 `json:"max_grpc_message_bytes"`
	MaxStreamLogBytes   int64 `json:"max_stream_log_bytes"`
	// MaxInFlight is the most calls under way at once.
	MaxInFlight int64 `json:"max_in_flight"`
}

// UsageLedger is where calls that go straight to providers are recorded.
type UsageLedger struct {
	// Ledger is a file (SQLite) that processes of one machine may share; absent means that nothing is recorded.
	Ledger string `json:"ledger"`
	// RetentionDays is how long records are kept; absent means 90 days, 0 for ever.
	RetentionDays *int64 `json:"retention_days"`
}

// Budgets are what calls may cost, by tenant, key, user, model and tag.
type Budgets struct {
	// Limits are the budgets; a call is admitted by all it falls under, or by none.
	Limits []Budget `json:"limits"`
	// Ledger is a file (SQLite) that processes of one machine share; absent means the client's memory.
	Ledger string `json:"ledger"`
	// Postgres is the ledger of many machines, `postgres://user:password@host/database`, in place of Ledger. The library of
	// this module has no client for it and refuses it: an orchestrator keeps such a ledger.
	Postgres string `json:"postgres"`
	// Lease is how long what a process holds stays held after it was last heard of; at least 15 s.
	Lease time.Duration `json:"lease_ms"`
}

// Budget is a limit in money, in tokens or in both, for one scope and window.
type Budget struct {
	// Scope is what it is of: `tenant` (unless said otherwise), `key`, `user`, `model` or `tag`.
	Scope string `json:"scope"`
	// Tag is the tag, of the scope `tag`.
	Tag string `json:"tag"`
	// Name is whose it is; absent means everybody's own.
	Name *string `json:"name"`
	// Window is how long it lasts, in UTC: `hour`, `day`, `month` or `total`.
	Window string `json:"window"`
	// NanoUSD is the limit in money.
	NanoUSD *NanoUSD `json:"nano_usd"`
	// Tokens is the limit in tokens, input and output together.
	Tokens *uint64 `json:"tokens"`
	// Soft is booked and refuses nothing.
	Soft bool `json:"soft"`
	// Reserve is `strict` (unless said otherwise) or `calibrated`.
	Reserve string `json:"reserve"`
	// Clamp lowers a call's MaxTokens to what is left instead of refusing it.
	Clamp bool `json:"clamp"`
	// MaxReserveNanoUSD is most that one call holds.
	MaxReserveNanoUSD *NanoUSD `json:"max_reserve_nano_usd"`
	// MaxReserveTokens is most tokens that one call holds.
	MaxReserveTokens *uint64 `json:"max_reserve_tokens"`
}

// Cassette is recorded answers of providers, in a file: the same in every language.
type Cassette struct {
	// Path is the file.
	Path string `json:"path"`
	// Mode is `replay` (unless said otherwise), which asks nobody: a request without a recorded answer is an error; `record`,
	// `replay_or_record` or `off`.
	Mode string `json:"mode"`
	// Timing is when what is replayed arrives: `instant` (unless said otherwise), or `kept`, as it was recorded.
	Timing string `json:"timing"`
	// Match is in what a request must be like a recorded one: `method`, `host`, `path`, `query`, `body`, `header:NAME`.
	Match []string `json:"match"`
	// Ignore are places in the body that may differ, as JSON pointers.
	Ignore []string `json:"ignore"`
	// AllowRepeats gives the last answer to a request again when all of them have been given.
	AllowRepeats bool `json:"allow_repeats"`
	// Scrub are headers, query parameters and fields of JSON bodies whose values are not written.
	Scrub []string `json:"scrub"`
	// ScrubValues are texts that are not written, beside the credentials.
	ScrubValues []string `json:"scrub_values"`
	// MaxBytes is the most of the file.
	MaxBytes int64 `json:"max_bytes"`
}

// TLS is trust.
type TLS struct {
	// CAPEM are authorities to trust beside the system's.
	CAPEM string `json:"ca_pem"`
	// CAFile is a file of the same.
	CAFile string `json:"ca_file"`
	// BundledRoots trusts the authorities Mozilla does, for containers without any.
	BundledRoots bool `json:"bundled_roots"`
}

// Proxy is for providers and the orchestrator alike.
type Proxy struct {
	// URL is `http://[user:password@]host:port`, instead of the environment's.
	URL string `json:"url"`
	// NoProxy are hosts reached without it, separated by commas.
	NoProxy string `json:"no_proxy"`
	// FromEnv reads the usual variables, unless it is false.
	FromEnv *bool `json:"from_env"`
}

// Egress is which hosts and addresses may be connected to.
type Egress struct {
	// Checked connects to hosts of providers only, and to private addresses only where the configuration names the host.
	Checked bool `json:"checked"`
	// PrivateHosts are further hosts that may have private addresses.
	PrivateHosts []string `json:"private_hosts"`
}

// Testing is for tests: time runs faster, chance is repeatable, and what a machine does only on its bad days happens.
type Testing struct {
	TimeScale int     `json:"time_scale"`
	Seed      *uint64 `json:"seed"`
	// WallJump puts the wall clock forward or back while the client runs.
	WallJump *WallJump `json:"wall_jump"`
	// HangingHosts are hosts whose names are asked for without ever an answer.
	HangingHosts []string `json:"hanging_hosts"`
	// Panics is how many of the client's first tries meet a bug of the library's own.
	Panics int `json:"panics"`
}

// WallJump is when and by how much the wall clock is put; a negative By is back.
type WallJump struct {
	At time.Duration `json:"at_ms"`
	By time.Duration `json:"by_ms"`
}

// A settings is what the options of a client come to.
type settings struct {
	document    map[string]any
	environment bool
	credentials map[string]Credential
	logger      *slog.Logger
	telemetry   Telemetry
}

func (c Config) applyClient(s *settings) error {
	document, _ := document(reflect.ValueOf(c)).(map[string]any)
	merge(s.document, document)
	return nil
}

var duration = reflect.TypeFor[time.Duration]()

// document is a value in the configuration's own form, without zero values; nil is nothing.
func document(value reflect.Value) any {
	switch {
	case value.IsZero():
		return nil
	case value.Type() == duration:
		return milliseconds(time.Duration(value.Int()))
	case value.Kind() == reflect.Pointer && value.Elem().Kind() == reflect.Struct:
		if field := document(value.Elem()); field != nil {
			return field
		}
		return map[string]any{}
	case value.Kind() == reflect.Pointer:
		return value.Elem().Interface() // of a plain value, whose zero means something
	case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
		list := make([]any, value.Len())
		for i := range list {
			list[i] = document(value.Index(i))
		}
		return list
	case value.Kind() == reflect.Struct:
		fields := map[string]any{}
		for i := range value.NumField() {
			if field := document(value.Field(i)); field != nil {
				fields[value.Type().Field(i).Tag.Get("json")] = field
			}
		}
		return fields
	case value.Kind() == reflect.Map && value.Type().Elem().Kind() == reflect.Struct:
		fields := map[string]any{}
		for _, name := range value.MapKeys() {
			field := document(value.MapIndex(name))
			if field == nil {
				field = map[string]any{}
			}
			fields[name.String()] = field
		}
		return fields
	}
	return value.Interface()
}

// merge lays a document over another.
func merge(under, over map[string]any) {
	for name, value := range over {
		below, both := under[name].(map[string]any)
		if above, ok := value.(map[string]any); ok && both {
			merge(below, above)
			continue
		}
		under[name] = value
	}
}

type clientOption func(*settings) error

func (o clientOption) applyClient(s *settings) error { return o(s) }

// set is one value at its place in the document.
func set(value any, path ...string) clientOption {
	return func(s *settings) error {
		for i := len(path) - 1; i > 0; i-- {
			value = map[string]any{path[i]: value}
		}
		merge(s.document, map[string]any{path[0]: value})
		return nil
	}
}

// WithConfigJSON is a configuration document, as from a file; options after it change it. An unknown key is an error with its
// path.
func WithConfigJSON(text []byte) ClientOption {
	return clientOption(func(s *settings) error {
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		var over map[string]any
		if err := decoder.Decode(&over); err != nil {
			return invalid("config", "expected a JSON object")
		}
		merge(s.document, over)
		return nil
	})
}

// WithEndpoint is an orchestrator (`host:port` or a URL); without one calls go straight to the providers.
func WithEndpoint(endpoint string) ClientOption { return Config{Endpoint: endpoint} }

// WithAPIKey is the orchestrator's key.
func WithAPIKey(key string) ClientOption { return Config{APIKey: key} }

// WithTenant is whose calls these are: part of every key, so that nothing crosses tenants.
func WithTenant(tenant string) ClientOption { return Config{Tenant: tenant} }

// WithProvider is a provider by the name models are asked for under (`name/model`).
func WithProvider(name string, provider Provider) ClientOption {
	return Config{Providers: map[string]Provider{name: provider}}
}

// WithoutEnvironment leaves the OSSAI_ENDPOINT, OSSAI_API_KEY, OSSAI_TENANT and OSSAI_PRICES variables alone, which otherwise
// fill what the options leave out.
func WithoutEnvironment() ClientOption {
	return clientOption(func(s *settings) error {
		s.environment = false
		return nil
	})
}

// WithLogger hears of each call that went out, and of each that failed: names, numbers and money, never what was asked or
// answered, nor keys. Calls that ended well are at debug level, others at warn.
func WithLogger(logger *slog.Logger) ClientOption {
	return clientOption(func(s *settings) error {
		s.logger = logger
		return nil
	})
}

// with is extra with one more field; what was given is the program's.
func with(extra Extra, name string, value any) Extra {
	more := Extra{name: value}
	for name, value := range extra {
		if _, given := more[name]; !given {
			more[name] = value
		}
	}
	return more
}

type bothOption struct {
	client clientOption
	call   callOption
}

func (o bothOption) applyClient(s *settings) error { return o.client(s) }
func (o bothOption) applyCall(to *CallOptions)     { o.call(to) }

// WithTimeout is for a whole call, all tries and the waits between them included; for a stream until its first event. 0 ends a
// call at once.
func WithTimeout(timeout time.Duration) Option {
	return bothOption{
		func(s *settings) error {
			if timeout < 0 {
				return invalid("config.timeouts.total_ms", "expected no negative duration")
			}
			return set(milliseconds(timeout), "timeouts", "total_ms")(s)
		},
		func(o *CallOptions) {
			if o.Timeout = timeout; timeout == 0 {
				o.Extra = with(o.Extra, "timeout_ms", 0)
			}
		},
	}
}

// WithRetries is how many tries may come after the first.
func WithRetries(retries int) Option {
	return bothOption{
		func(s *settings) error {
			if retries < 0 {
				return invalid("config.retry.max_attempts", "expected 0 retries or more")
			}
			return set(retries+1, "retry", "max_attempts")(s)
		},
		func(o *CallOptions) {
			if o.MaxAttempts = retries + 1; retries < 0 {
				o.MaxAttempts = -1 // the core says that this is none
			}
		},
	}
}

// WithTrace is whether answers and errors tell why they came out as they did.
func WithTrace(trace bool) Option {
	return bothOption{set(trace, "trace"), func(o *CallOptions) { o.Trace = &trace }}
}
