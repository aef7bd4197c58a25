package ossai

// The answers that come all the time, read by hand: several times as fast as by reflection.

// UnmarshalJSON reads an answer.
func (c *Completion) UnmarshalJSON(data []byte) error {
	d := decoder{data: data}
	c.decode(&d)
	return d.done()
}

func (c *Completion) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "id":
			c.ID = d.text()
		case "model":
			c.Model = d.text()
		case "response_model":
			c.ResponseModel = d.text()
		case "created":
			c.Created = d.unsignedAt()
		case "text":
			c.Text = d.text()
		case "parts":
			c.Parts = decodeList(d, (*Part).decode)
		case "finish_reason":
			c.FinishReason = FinishReason(d.word())
		case "raw_finish_reason":
			c.RawFinishReason = d.text()
		case "usage":
			c.Usage.decode(d)
		case "raw_usage":
			c.RawUsage = d.raw()
		case "upstream_request_id":
			c.UpstreamRequestID = d.text()
		case "dropped_params":
			c.DroppedParams = d.texts()
		case "extra":
			c.Extra = d.extra()
		case "cost":
			c.Cost.decode(d)
		case "cache":
			c.Cache.decode(d)
		case "attempts":
			c.Attempts = decodeList(d, (*Attempt).decode)
		case "request_id":
			c.RequestID = d.text()
		case "timing":
			c.Timing.decode(d)
		case "trace":
			c.Trace = d.trace()
		case "tool_run":
			c.ToolRun = d.toolRun()
		default:
			d.skip()
		}
	}
	// One text, kept once.
	if len(c.Parts) == 1 && c.Parts[0].Type == "text" && c.Parts[0].Text == c.Text {
		c.Parts[0].Text = c.Text
	}
}

func decodeList[T any](d *decoder, decode func(*T, *decoder)) []T {
	if d.null() || !d.open('[') {
		return nil
	}
	list := []T{}
	for first := true; d.more(']', &first); {
		var item T
		decode(&item, d)
		list = append(list, item)
	}
	return list
}

func (u *Usage) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "input_tokens":
			u.InputTokens = d.unsigned()
		case "output_tokens":
			u.OutputTokens = d.unsigned()
		case "cache_read_tokens":
			u.CacheReadTokens = d.unsigned()
		case "cache_write_tokens":
			u.CacheWriteTokens = d.unsigned()
		case "cache_write_1h_tokens":
			u.CacheWrite1hTokens = d.unsigned()
		case "cache_write_12h_tokens":
			u.CacheWrite12hTokens = d.unsigned()
		case "reasoning_tokens":
			u.ReasoningTokens = d.unsigned()
		case "audio_input_tokens":
			u.AudioInputTokens = d.unsigned()
		case "audio_cache_read_tokens":
			u.AudioCacheReadTokens = d.unsigned()
		case "audio_output_tokens":
			u.AudioOutputTokens = d.unsigned()
		case "image_input_tokens":
			u.ImageInputTokens = d.unsigned()
		case "citation_tokens":
			u.CitationTokens = d.unsigned()
		case "web_searches":
			u.WebSearches = d.unsigned()
		case "service_tier":
			u.ServiceTier = d.text()
		case "speed":
			u.Speed = d.text()
		case "region":
			u.Region = d.text()
		case "estimated":
			u.Estimated = d.boolean()
		default:
			d.skip()
		}
	}
}

func (d *decoder) money() *NanoUSD {
	if d.null() {
		return nil
	}
	n := NanoUSD(d.unsigned())
	return &n
}

func (c *Cost) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "status":
			c.Status = d.word()
		case "total":
			c.Total = d.money()
		case "input_pico":
			c.InputPico = d.unsigned()
		case "cache_read_pico":
			c.CacheReadPico = d.unsigned()
		case "cache_write_pico":
			c.CacheWritePico = d.unsigned()
		case "output_pico":
			c.OutputPico = d.unsigned()
		case "other_pico":
			c.OtherPico = d.unsigned()
		case "prompt_cache_saved_pico":
			c.PromptCacheSavedPico = d.signed()
		case "price_version":
			c.PriceVersion = d.text()
		default:
			d.skip()
		}
	}
}

func (c *CacheOutcome) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "status":
			c.Status = d.word()
		case "tier":
			c.Tier = d.word()
		case "age_ms":
			c.AgeMS = d.unsignedAt()
		case "joined":
			c.Joined = d.boolean()
		case "saved":
			c.Saved = d.money()
		case "stale":
			c.Stale = d.boolean()
		case "similarity":
			c.Similarity = d.double()
		case "lookup_cost":
			c.LookupCost = d.money()
		default:
			d.skip()
		}
	}
}

func (a *Attempt) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "error":
			a.Error = ErrorKind(d.word())
		case "status":
			a.Status = d.integer()
		case "delay_ms":
			a.DelayMS = d.unsigned()
		case "upstream_request_id":
			a.UpstreamRequestID = d.text()
		case "duration_us":
			a.DurationUS = d.unsigned()
		case "model":
			a.Model = d.text()
		case "parallel":
			a.Parallel = d.boolean()
		case "endpoint":
			a.Endpoint = d.text()
		default:
			d.skip()
		}
	}
}

func (t *Timing) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "queue_us":
			t.QueueUS = d.unsigned()
		case "first_token_us":
			t.FirstTokenUS = d.unsignedAt()
		case "total_us":
			t.TotalUS = d.unsigned()
		case "overhead_us":
			t.OverheadUS = d.unsigned()
		default:
			d.skip()
		}
	}
}

// UnmarshalJSON reads vectors and what they cost.
func (r *EmbeddingResponse) UnmarshalJSON(data []byte) error {
	d := decoder{data: data}
	r.decode(&d)
	return d.done()
}

func (r *EmbeddingResponse) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "model":
			r.Model = d.text()
		case "response_model":
			r.ResponseModel = d.text()
		case "embeddings":
			r.Embeddings = decodeList(d, (*Embedding).decode)
		case "usage":
			r.Usage.decode(d)
		case "raw_usage":
			r.RawUsage = d.raw()
		case "cost":
			r.Cost.decode(d)
		case "cache":
			r.Cache.decode(d)
		case "attempts":
			r.Attempts = decodeList(d, (*Attempt).decode)
		case "request_id":
			r.RequestID = d.text()
		case "upstream_request_id":
			r.UpstreamRequestID = d.text()
		case "timing":
			r.Timing.decode(d)
		case "trace":
			r.Trace = d.trace()
		default:
			d.skip()
		}
	}
}

func (v *Embedding) decode(d *decoder) {
	if !d.open('{') {
		return
	}
	for first := true; d.more('}', &first); {
		switch key := d.key(); string(key) {
		case "index":
			v.Index = d.integer()
		case "vector":
			if !d.open('[') {
				return
			}
			v.Vector = []float32{}
			for first := true; d.more(']', &first); {
				v.Vector = append(v.Vector, d.single())
			}
		default:
			d.skip()
		}
	}
}
