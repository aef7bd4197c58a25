//! Getting the answer: streamed, whole, again, or many times at once; and what is left when Ctrl-C ends it.

use std::sync::Arc;

use ossai::call::Fold;
use ossai::{CallOptions, Client, Completion, CompletionRequest, Error, ErrorKind, StreamEvent};
use serde_json::json;

use super::over::{Source, cited};
use super::record::Recorder;
use super::{Ask, say};
use crate::failure::Failure;
use crate::global::Global;
use crate::io::{Interrupt, out, out_model_text};
use crate::model::OFFLINE;

/// A question on its way.
pub(super) struct Asked<'a> {
    pub(super) ask: &'a Ask,
    pub(super) global: &'a Global,
    pub(super) recorder: Recorder,
    pub(super) client: Client,
    pub(super) request: Arc<CompletionRequest>,
    pub(super) options: Arc<CallOptions>,
    pub(super) sources: Vec<Source>,
}

impl Asked<'_> {
    /// Asks as often as wanted, prints the first answer, says what it took.
    pub(super) async fn answer(&self, interrupt: &mut Interrupt) -> Result<(), Failure> {
        let several = self.ask.repeat > 1 || self.ask.at_once > 1;
        for round in 0..self.ask.repeat {
            let first = round == 0;
            let answer = if self.ask.at_once > 1 {
                self.at_once(interrupt).await?
            } else if self.ask.no_stream || self.global.json {
                self.whole(interrupt).await?
            } else {
                self.streamed(interrupt, first).await?
            };
            let streamed = self.ask.at_once == 1 && !self.ask.no_stream;
            if first && !self.global.json {
                self.print(&answer, streamed)?;
            }
            for name in answer.dropped_params.iter().filter(|_| first) {
                anstream::eprintln!("{} does not take {name}: left out", answer.model);
            }
            if let Some(trace) = &answer.trace {
                say::trace(trace);
            }
            if self.ask.cost || several {
                say::cost(&answer);
            }
            if round + 1 == self.ask.repeat && self.global.json {
                self.print_json(&answer, several)?;
            }
        }
        if several {
            say::stats(&self.client.stats());
        }
        Ok(())
    }

    /// What is still to be printed of an answer.
    fn print(&self, answer: &Completion, streamed: bool) -> Result<(), Failure> {
        if self.global.jsonl {
            return if streamed {
                Ok(())
            } else {
                self.global.print_json(answer)
            };
        }
        if !streamed {
            out_model_text(&answer.text)?;
            if !answer.text.ends_with('\n') {
                out("\n")?;
            }
        }
        // The offline model lists its sources itself.
        let sources = cited(&answer.text, &self.sources);
        if answer.model != OFFLINE && !sources.is_empty() {
            out(&format!("\n{sources}"))?;
        }
        Ok(())
    }

    fn print_json(&self, answer: &Completion, several: bool) -> Result<(), Failure> {
        let mut value = serde_json::to_value(answer)?;
        if let Some(fields) = value.as_object_mut() {
            if !self.sources.is_empty() {
                fields.insert("passages".into(), json!(self.sources));
            }
            if several {
                fields.insert("stats".into(), json!(self.client.stats()));
            }
        }
        self.global.print_json(&value)
    }

    async fn whole(&self, interrupt: &mut Interrupt) -> Result<Completion, Failure> {
        let call = self
            .client
            .complete_with(Arc::clone(&self.request), Arc::clone(&self.options));
        let outcome = tokio::select! {
            outcome = call => outcome,
            () = interrupt.pressed() => return Err(self.interrupted(&Completion::default())),
        };
        self.recorder.record(&self.request.model, &outcome);
        Ok(outcome?)
    }

    async fn at_once(&self, interrupt: &mut Interrupt) -> Result<Completion, Failure> {
        let calls: Vec<_> = (0..self.ask.at_once)
            .map(|_| {
                let (client, request, options) = (
                    self.client.clone(),
                    Arc::clone(&self.request),
                    Arc::clone(&self.options),
                );
                tokio::spawn(async move { client.complete_with(request, options).await })
            })
            .collect();
        let mut answer = None;
        for call in calls {
            let outcome = tokio::select! {
                outcome = call => outcome.map_err(|error| Failure::message(error.to_string()))?,
                () = interrupt.pressed() => return Err(self.interrupted(&Completion::default())),
            };
            self.recorder.record(&self.request.model, &outcome);
            let outcome = outcome?;
            // The one that was paid for tells most.
            if answer.is_none() || !outcome.cache.joined {
                answer = Some(outcome);
            }
        }
        answer.ok_or_else(|| Failure::message("nothing was asked"))
    }

    async fn streamed(&self, interrupt: &mut Interrupt, show: bool) -> Result<Completion, Failure> {
        let opened = tokio::select! {
            opened = self.client.stream_with(Arc::clone(&self.request), Arc::clone(&self.options)) => opened,
            () = interrupt.pressed() => return Err(self.interrupted(&Completion::default())),
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return Err(self.failed(error)),
        };
        let mut so_far = Fold::new();
        let mut open_line = false;
        let end_line = |open: bool| if open && show { out("\n") } else { Ok(()) };
        loop {
            let event = tokio::select! {
                biased;
                () = interrupt.pressed() => {
                    end_line(open_line)?;
                    return Err(self.interrupted(&so_far.partial()));
                }
                event = stream.next() => event,
            };
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    end_line(open_line)?;
                    return Err(self.failed(error));
                }
                None => return Err(Failure::message("the stream ended without an answer")),
            };
            if show && self.global.jsonl {
                self.global.print_json(&event)?;
            }
            match event {
                StreamEvent::End { completion } => {
                    end_line(open_line)?;
                    self.recorder
                        .record(&self.request.model, &Ok((*completion).clone()));
                    return Ok(*completion);
                }
                StreamEvent::TextDelta { ref text, .. }
                | StreamEvent::RefusalDelta { ref text, .. }
                    if show && !self.global.jsonl =>
                {
                    out_model_text(text)?;
                    if !text.is_empty() {
                        open_line = !text.ends_with('\n');
                    }
                    so_far.push(&event)?;
                }
                event => so_far.push(&event)?,
            }
        }
    }

    fn failed(&self, error: Error) -> Failure {
        let partial = error.fields().partial.clone();
        let outcome = Err(error);
        self.recorder.record(&self.request.model, &outcome);
        if let Some(partial) = partial {
            say::partial("the stream broke", &self.client, &self.request, &partial);
        }
        match outcome {
            Err(error) => error.into(),
            Ok(_) => Failure::No,
        }
    }

    /// Ctrl-C: dropping the call closes the connection; what was used by then is said and recorded.
    fn interrupted(&self, so_far: &Completion) -> Failure {
        let used = say::used(&self.client, &self.request, so_far);
        let mut partial = so_far.clone();
        partial.cost = used.cost;
        partial.usage = used.usage;
        if self.global.json || self.global.jsonl {
            let error = Error::new(ErrorKind::Cancelled, "interrupted");
            let error = error.with(|fields| fields.partial = Some(Box::new(partial.clone())));
            anstream::eprintln!("{}", json!({ "error": error }));
        } else {
            say::partial("interrupted", &self.client, &self.request, so_far);
        }
        self.recorder
            .record_cancelled(&self.request.model, &partial);
        Failure::Interrupted
    }
}
