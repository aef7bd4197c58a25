package ossai

import (
	"context"
	"errors"
	"log/slog"
)

// A record is what is said of a call that went out: names, numbers and money.
type record struct {
	requestID, responseModel string
	usage                    Usage
	cost                     Cost
	cache                    CacheOutcome
	attempts                 int
	totalUS                  uint64
}

func (c *Completion) record() record {
	return record{c.RequestID, c.ResponseModel, c.Usage, c.Cost, c.Cache, len(c.Attempts), c.Timing.TotalUS}
}

func (r *EmbeddingResponse) record() record {
	return record{r.RequestID, r.ResponseModel, r.Usage, r.Cost, r.Cache, len(r.Attempts), r.Timing.TotalUS}
}

// log tells the logger of a call. One that nobody was asked for (a kept answer) is not told.
func (c *Client) log(ctx context.Context, op, model string, done record, err error) {
	if err == nil && done.attempts == 0 {
		return
	}
	level := slog.LevelDebug
	if err != nil {
		level = slog.LevelWarn
	}
	if ctx == nil {
		ctx = context.Background()
	}
	if !c.logger.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{slog.String("op", op), slog.String("model", model)}
	var failure *Error
	if errors.As(err, &failure) {
		attributes = append(attributes,
			slog.String("error", string(failure.Kind)),
			slog.String("request_id", failure.RequestID),
			slog.Int("attempts", len(failure.Attempts)),
			slog.Bool("retriable", failure.Retriable),
			slog.String("billed", failure.Billed),
		)
		c.logger.LogAttrs(ctx, level, "ossai: call failed", attributes...)
		return
	}
	attributes = append(attributes,
		slog.String("request_id", done.requestID),
		slog.String("response_model", done.responseModel),
		slog.Int("attempts", done.attempts),
		slog.Uint64("input_tokens", done.usage.InputTokens),
		slog.Uint64("output_tokens", done.usage.OutputTokens),
		slog.String("cache", done.cache.Status),
		slog.Bool("joined", done.cache.Joined),
		slog.Uint64("total_us", done.totalUS),
	)
	if done.cost.Total != nil {
		attributes = append(attributes, slog.Uint64("cost_nanousd", uint64(*done.cost.Total)))
	}
	c.logger.LogAttrs(ctx, level, "ossai: call", attributes...)
}

// log tells of the stream's end.
func (s *Stream) log() {
	s.watch.endWith(s)
	if s.client.logger == nil {
		return
	}
	var done record
	if s.completion != nil {
		done = s.completion.record()
	}
	s.client.log(s.ctx, "stream", s.model, done, s.err)
}
