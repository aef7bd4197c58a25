package ossai

import "encoding/json"

// What never waits: it needs no network, and takes no context.

// Lookup is the answer to this request if the memory cache has it; nil if not.
func (c *Client) Lookup(request CompletionRequest, options ...CallOption) (*Completion, error) {
	answer := new(Completion)
	err := c.now("lookup", request.encode, c.given(options), func(d *decoder) {
		if d.null() {
			answer = nil
			return
		}
		answer.decode(d)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// Explain is what a call would do, worked out without sending it: route, cache, sharing, parameters, cost.
func (c *Client) Explain(request CompletionRequest, options ...CallOption) (*Explanation, error) {
	return ask[Explanation](c, "explain", request.encode, c.given(options))
}

// Key is the key under which this request's answer is kept and shared, in hex: equal in every language for equal calls.
func (c *Client) Key(request CompletionRequest) (string, error) {
	answer, err := ask[struct{ Key string }](c, "key", request.encode, nil)
	if err != nil {
		return "", err
	}
	return answer.Key, nil
}

// Count is how many input tokens a request is, counted offline: text, message frames, tools and images.
func (c *Client) Count(request CompletionRequest) (*TokenCount, error) {
	return ask[TokenCount](c, "count", request.encode, nil)
}

// CountText is how many tokens a text is for a model, counted offline.
func (c *Client) CountText(model, text string) (*TokenCount, error) {
	return ask[TokenCount](c, "count_text", ofText(model, text, 0, 0), nil)
}

// Truncate is the longest beginning of a text that is at most so many tokens for the model.
func (c *Client) Truncate(model, text string, maxTokens int) (*Truncated, error) {
	return ask[Truncated](c, "truncate", ofText(model, text, maxTokens, 0), nil)
}

// Split is a text cut into parts of at most so many tokens, each repeating at most `overlap` of the one before.
func (c *Client) Split(model, text string, maxTokens, overlap int) ([]string, error) {
	answer, err := ask[struct{ Parts []string }](c, "split", ofText(model, text, maxTokens, overlap), nil)
	if err != nil {
		return nil, err
	}
	return answer.Parts, nil
}

// ofText is text and a model's settings, as one request; 0 is left out where it means nothing.
func ofText(model, text string, maxTokens, overlap int) func(*encoder) {
	return func(e *encoder) {
		f := e.fields(nil)
		f.always("model", model)
		f.always("text", text)
		f.integer("max_tokens", int64(maxTokens))
		f.integer("overlap", int64(overlap))
		f.end()
	}
}

// Estimate is what a request will cost, without sending it: a floor, a likely figure and a ceiling, in nanodollars.
func (c *Client) Estimate(request CompletionRequest, options EstimateOptions) (*Estimate, error) {
	return ask[Estimate](c, "estimate", request.encode, func(e *encoder) { e.any("options", options) })
}

// Price is the model's entry in the price table; nil when it is not listed.
func (c *Client) Price(model string) (*ModelEntry, error) {
	answer, err := ask[*ModelEntry](c, "price", func(e *encoder) {
		f := e.fields(nil)
		f.always("model", model)
		f.end()
	}, nil)
	if err != nil {
		return nil, err
	}
	return *answer, nil
}

// Catalog is the price table's models that fit the conditions.
func (c *Client) Catalog(conditions CatalogOptions) ([]ModelEntry, error) {
	answer, err := ask[struct{ Models []ModelEntry }](c, "catalog", func(e *encoder) { e.any("", conditions) }, nil)
	if err != nil {
		return nil, err
	}
	return answer.Models, nil
}

// Stats is what the client has done so far.
func (c *Client) Stats() (*Stats, error) {
	return ask[Stats](c, "stats", nothing, nil)
}

// ClearCache forgets every kept answer.
func (c *Client) ClearCache() error {
	_, err := ask[json.RawMessage](c, "clear_cache", nothing, nil)
	return err
}

func ask[T any](c *Client, op string, request, options func(*encoder)) (*T, error) {
	answer := new(T)
	if err := c.now(op, request, options, reflected(answer)); err != nil {
		return nil, err
	}
	return answer, nil
}
