// Package ossai is a client for language models whose retries, shared calls, caches, token counts and money are decided once,
// in a Rust core. It speaks to OpenAI-compatible servers and Anthropic directly, or to an ossai orchestrator; a program is the
// same either way.
//
//	client, err := ossai.New() // keys from the environment: OPENAI_API_KEY, ANTHROPIC_API_KEY, OSSAI_ENDPOINT …
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	answer, err := client.Complete(ctx, ossai.CompletionRequest{
//		Model:    "openai/gpt-4o-mini",
//		Messages: []ossai.Message{ossai.User("Why is the sky blue?")},
//	})
//
// The model `local/extract` is built in and works offline.
//
// Operations that may wait take a context first, and end with it: the connection is closed unless others share the call. The
// others answer at once. Every error is an *[Error] and can be asked for by its kind, errors.Is(err, ossai.ErrRateLimited), or
// as the context's, errors.Is(err, context.DeadlineExceeded).
//
// It needs cgo, on Linux with glibc; the static library comes with the module.
package ossai
