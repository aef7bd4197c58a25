//! A session as JavaScript sees it.

use std::sync::Arc;

use napi::Result;
use napi::bindgen_prelude::{Either3, Function};
use napi_derive::napi;
use ossai::Error;
use ossai_facade::{Begin, CallId, Callbacks, HostCallId, Op, Queue};

use crate::home::{self, Environment, Home};

/// A failure: the error's fields as JSON.
#[napi(object)]
pub struct Failure {
    /// The fields.
    pub error: String,
}

fn failure(error: &Error) -> Failure {
    Failure {
        // Maps with string keys: there is nothing in it that could fail.
        error: serde_json::to_string(error).unwrap_or_default(),
    }
}

/// A provider whose credential the program gives.
#[napi(object)]
pub(crate) struct CredentialSource {
    /// Which provider.
    pub provider: String,
    /// Whose credential it is.
    pub identity: Option<String>,
}

/// One client of the core's.
#[napi]
pub struct Session {
    session: Arc<ossai_facade::Session>,
    environment: Arc<Environment>,
    questions: Option<Queue>,
}

/// Opens a session at home in an event loop; `wake` is called there when it asks for a credential.
///
/// # Errors
/// When the environment is ending; a wrong configuration is a [`Failure`].
#[napi(catch_unwind)]
pub(crate) fn open(
    home: &Home,
    config: String,
    environment: bool,
    credentials: Vec<CredentialSource>,
    wake: Option<Function<'_, (), ()>>,
) -> Result<napi::Either<Session, Failure>> {
    let questions = wake.as_ref().map(home::queue).transpose()?;
    let callbacks = questions.clone().map(|queue| Callbacks {
        queue,
        credentials: credentials
            .into_iter()
            .map(|source| (source.provider, source.identity))
            .collect(),
    });
    Ok(
        match ossai_facade::Session::open_with(&config, environment, callbacks) {
            Ok(session) => {
                let session = Arc::new(session);
                home.0.register(&session);
                napi::Either::A(Session {
                    session,
                    environment: Arc::clone(&home.0),
                    questions,
                })
            }
            Err(error) => napi::Either::B(failure(&error)),
        },
    )
}

/// Ids are below 2⁵³, so a double holds them; any other number is none of ours and misses.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn id(number: f64) -> u64 {
    number as u64
}

#[napi]
impl Session {
    /// Begins an operation: its answer as JSON, the number under which it comes to the queue, or why not.
    #[napi(catch_unwind)]
    #[allow(clippy::cast_precision_loss)] // ids are below 2⁵³
    pub fn begin(
        &self,
        op: String,
        request: String,
        options: String,
    ) -> Either3<f64, String, Failure> {
        let op = match Op::from_name(&op) {
            Ok(op) => op,
            Err(error) => return Either3::C(failure(&error)),
        };
        match self
            .session
            .begin(op, &request, &options, &self.environment.queue)
        {
            Begin::Pending(id) => Either3::A(id.0 as f64),
            Begin::Ready(Ok(reply)) => Either3::B(reply.to_json()),
            Begin::Ready(Err(error)) => Either3::C(failure(&error)),
        }
    }

    /// Ends a call; whether it was under way.
    #[napi(catch_unwind)]
    pub fn cancel(&self, call: f64) -> bool {
        self.session.cancel(CallId(id(call)))
    }

    /// Lets a stream send more events.
    #[napi(catch_unwind)]
    pub fn grant(&self, call: f64, events: u32) {
        self.session.grant(CallId(id(call)), events);
    }

    /// What the session asks the program, as JSON.
    #[napi(catch_unwind)]
    pub fn drain(&self) -> String {
        self.questions
            .as_ref()
            .map_or_else(|| "[]".into(), home::drain)
    }

    /// Answers a host call; whether somebody waited for it, or why the answer is none.
    #[napi(catch_unwind)]
    pub fn complete_host_call(&self, call: f64, result: String) -> napi::Either<bool, Failure> {
        let completed = self
            .session
            .complete_host_call(HostCallId(id(call)), &result);
        match completed {
            Ok(waited) => napi::Either::A(waited),
            Err(error) => napi::Either::B(failure(&error)),
        }
    }

    /// Refuses new calls and cancels those under way.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.session.close();
    }

    /// How many calls are under way.
    #[napi(getter, catch_unwind)]
    pub fn calls_under_way(&self) -> u32 {
        u32::try_from(self.session.calls_under_way()).unwrap_or(u32::MAX)
    }
}
