"""Count tokens offline and see what a call would cost before making it."""

import ossai

with ossai.Client() as client:
    text = "Tokens are counted in the binary, with no network."
    print(client.count_text(text, model="openai/gpt-4o-mini").tokens, "tokens in", len(text), "characters")
    print("cut to 4 tokens:", repr(client.truncate(text, model="openai/gpt-4o-mini", max_tokens=4).text))

    for model in ("openai/gpt-4o-mini", "openai/gpt-5", "anthropic/claude-sonnet-4-6"):
        messages = "Summarise the history of tea in three paragraphs."
        count = client.count(model=model, messages=messages)
        estimate = client.estimate(model=model, messages=messages, max_tokens=500)
        how = "exact" if count.exact else "estimated"
        print(f"{model}: {count.tokens} input tokens ({how}), at most {estimate.high} nUSD")
