//! Which failures are tried again: a test for each rule.

use std::time::Duration;

use super::*;
use crate::error::KINDS;

const RETRY: Verdict = Verdict::Retry { throttle: false };
const THROTTLE: Verdict = Verdict::Retry { throttle: true };

fn of(kind: ErrorKind) -> Error {
    Error::new(kind, "test")
}

fn status(kind: ErrorKind, status: u16) -> Error {
    of(kind).with(|fields| fields.http_status = Some(status))
}

fn grpc(kind: ErrorKind, code: i32) -> Error {
    of(kind).with(|fields| fields.grpc_code = Some(code))
}

fn detail(kind: ErrorKind, detail: &str) -> Error {
    of(kind).with(|fields| fields.detail = Some(detail.into()))
}

fn plain(error: &Error) -> Verdict {
    classify(error, &Evidence::default())
}

fn says(value: &str) -> Evidence<'_> {
    Evidence {
        should_retry: Some(value),
        ..Evidence::default()
    }
}

/// One error of each kind that is retried for the transport's sake.
fn transport_failures() -> Vec<Error> {
    ["dns", "refused", "timeout", "other"]
        .map(|word| detail(ErrorKind::ConnectFailed, word))
        .into_iter()
        .chain([
            of(ErrorKind::TransportInterrupted),
            status(ErrorKind::TransportInterrupted, 200),
        ])
        .chain(
            ["connect", "first_byte", "body", "idle"].map(|phase| Error::timeout(phase, "attempt")),
        )
        .collect()
}

#[test]
fn connecting_headers_and_cut_bodies_are_tried_again() {
    for error in transport_failures() {
        assert_eq!(plain(&error), RETRY, "{:?}", error.fields());
    }
}

#[test]
fn statuses_are_tried_again_as_published() {
    for code in 400..=999 {
        let expected = match code {
            429 | 529 => THROTTLE,
            408 | 409 | 425 => RETRY,
            501 | 505 => Verdict::Never,
            500.. => RETRY,
            _ => Verdict::Never,
        };
        let kinds = [
            ErrorKind::UpstreamError,
            ErrorKind::InvalidRequest,
            ErrorKind::UnexpectedContentType,
            ErrorKind::DecodeError,
        ];
        for kind in kinds {
            assert_eq!(
                plain(&status(kind, code)),
                expected,
                "{code} as {}",
                kind.name()
            );
        }
    }
}

#[test]
fn a_failure_told_inside_a_stream_before_its_first_event_is_tried_again() {
    assert_eq!(plain(&status(ErrorKind::UpstreamError, 200)), RETRY);
    assert_eq!(plain(&status(ErrorKind::Overloaded, 200)), THROTTLE);
    assert_eq!(plain(&of(ErrorKind::ShuttingDown)), RETRY);
    assert_eq!(plain(&status(ErrorKind::RateLimited, 200)), THROTTLE);
    assert_eq!(
        plain(&status(ErrorKind::InvalidRequest, 200)),
        Verdict::Never
    );
}

#[test]
fn certificate_errors_unreadable_answers_redirects_open_circuits_and_budgets_are_never_tried_again()
{
    for error in [
        detail(ErrorKind::ConnectFailed, "tls"),
        detail(ErrorKind::ConnectFailed, "egress"),
        status(ErrorKind::DecodeError, 200),
        status(ErrorKind::UnexpectedContentType, 200),
        status(ErrorKind::ResponseTooLarge, 200),
        status(ErrorKind::RedirectBlocked, 307),
        status(ErrorKind::UpstreamError, 302),
        of(ErrorKind::CircuitOpen),
        grpc(ErrorKind::CircuitOpen, 14),
        of(ErrorKind::BudgetExceeded),
        of(ErrorKind::BudgetUnavailable),
        of(ErrorKind::PriceUnknown),
        of(ErrorKind::Internal),
    ] {
        assert_eq!(plain(&error), Verdict::Never, "{:?}", error.fields());
        assert_eq!(classify(&error, &says("yes")), Verdict::Never);
    }
}

#[test]
fn a_word_of_the_upstream_cannot_make_an_unreadable_200_or_a_redirect_worth_a_retry() {
    for error in [
        status(ErrorKind::DecodeError, 200),
        status(ErrorKind::RedirectBlocked, 307),
        of(ErrorKind::CircuitOpen),
    ] {
        assert_eq!(
            classify(&error, &says("true")),
            Verdict::Never,
            "{:?}",
            error.fields()
        );
    }
}

#[test]
fn an_account_that_is_used_up_is_never_tried_again() {
    assert_eq!(
        plain(&status(ErrorKind::QuotaExhausted, 429)),
        Verdict::Never
    );
    for code in EXHAUSTED_CODES {
        let error = status(ErrorKind::RateLimited, 429)
            .with(|fields| fields.provider_code = Some(code.into()));
        assert_eq!(plain(&error), Verdict::Never, "{code}");
    }
    let error = status(ErrorKind::RateLimited, 429)
        .with(|fields| fields.provider_code = Some("rate_limit_exceeded".into()));
    assert_eq!(plain(&error), THROTTLE);
}

#[test]
fn nothing_is_tried_again_once_cancelled_committed_or_not_replayable() {
    let mut errors = transport_failures();
    errors.push(status(ErrorKind::UpstreamError, 503));
    let good = Evidence {
        should_retry: Some("true"),
        unprocessed: true,
        refreshable: true,
        ..Evidence::default()
    };
    for error in &errors {
        assert_eq!(
            classify(
                error,
                &Evidence {
                    committed: true,
                    ..good
                }
            ),
            Verdict::Never
        );
        assert_eq!(
            classify(
                error,
                &Evidence {
                    replayable: false,
                    ..good
                }
            ),
            Verdict::Never
        );
    }
    for error in [
        of(ErrorKind::Cancelled),
        of(ErrorKind::StreamInterrupted),
        Error::timeout("body", "total"),
    ] {
        assert_eq!(
            classify(&error, &good),
            Verdict::Never,
            "{:?}",
            error.fields()
        );
    }
}

#[test]
fn the_upstreams_word_goes_before_code_and_status() {
    assert_eq!(
        classify(&status(ErrorKind::InvalidRequest, 400), &says("true")),
        RETRY
    );
    assert_eq!(
        classify(&status(ErrorKind::QuotaExhausted, 429), &says("true")),
        THROTTLE
    );
    assert_eq!(
        classify(&status(ErrorKind::UpstreamError, 503), &says("false")),
        Verdict::Never
    );
    assert_eq!(
        classify(&grpc(ErrorKind::UpstreamError, 14), &says("false")),
        Verdict::Never
    );
    assert_eq!(
        classify(&grpc(ErrorKind::Internal, 13), &says("true")),
        RETRY
    );
}

#[test]
fn other_values_of_its_word_are_ignored() {
    for value in ["True", "TRUE", " true", "1", "yes", ""] {
        assert_eq!(
            classify(&status(ErrorKind::InvalidRequest, 400), &says(value)),
            Verdict::Never,
            "{value:?}"
        );
    }
    for value in ["False", "false ", "0", "no", ""] {
        assert_eq!(
            classify(&status(ErrorKind::UpstreamError, 500), &says(value)),
            RETRY,
            "{value:?}"
        );
    }
}

#[test]
fn a_401_is_tried_again_once_where_the_credential_can_be_fetched_anew() {
    let error = status(ErrorKind::Authentication, 401);
    assert_eq!(plain(&error), Verdict::Never);
    let can = Evidence {
        refreshable: true,
        should_retry: Some("false"),
        ..Evidence::default()
    };
    assert_eq!(classify(&error, &can), Verdict::Refresh);
    assert_eq!(
        classify(
            &error,
            &Evidence {
                refreshable: false,
                ..can
            }
        ),
        Verdict::Never
    );
    assert_eq!(
        classify(&status(ErrorKind::PermissionDenied, 403), &can),
        Verdict::Never
    );
}

#[test]
fn what_the_upstream_has_not_begun_is_sent_again_at_once_one_time() {
    let error = of(ErrorKind::TransportInterrupted);
    let first = Evidence {
        unprocessed: true,
        ..Evidence::default()
    };
    assert_eq!(classify(&error, &first), Verdict::Transparent);
    assert_eq!(
        classify(
            &error,
            &Evidence {
                transparent_used: true,
                ..first
            }
        ),
        RETRY,
        "then as any other"
    );
}

#[test]
fn grpc_codes_are_tried_again_as_published() {
    for code in 1..=16 {
        let expected = if matches!(code, 10 | 14) {
            RETRY
        } else {
            Verdict::Never
        };
        assert_eq!(
            plain(&grpc(ErrorKind::UpstreamError, code)),
            expected,
            "{code}"
        );
    }
    let exhausted = grpc(ErrorKind::RateLimited, 8);
    assert_eq!(plain(&exhausted), Verdict::Never);
    let pushback = |pushback| Evidence {
        pushback: Some(pushback),
        ..Evidence::default()
    };
    assert_eq!(
        classify(&exhausted, &pushback(Pushback::After(Duration::ZERO))),
        THROTTLE
    );
    let with_info = exhausted.with(|fields| fields.retry_after_ms = Some(100));
    assert_eq!(plain(&with_info), THROTTLE);
    assert_eq!(
        classify(&with_info, &pushback(Pushback::Never)),
        Verdict::Never
    );
    assert_eq!(
        classify(
            &grpc(ErrorKind::UpstreamError, 14),
            &pushback(Pushback::Never)
        ),
        Verdict::Never
    );
    let timeout = |scope| Error::timeout("body", scope).with(|fields| fields.grpc_code = Some(4));
    assert_eq!(plain(&timeout("attempt")), RETRY);
    assert_eq!(plain(&timeout("total")), Verdict::Never);
    let vendors_429 = grpc(ErrorKind::RateLimited, 8).with(|fields| fields.http_status = Some(429));
    assert_eq!(
        plain(&vendors_429),
        Verdict::Never,
        "on gRPC its code counts, not the vendor's status behind it"
    );
}

#[test]
fn no_error_made_here_is_retried_but_those_of_the_transport_and_of_a_stream() {
    let retried: Vec<_> = KINDS
        .iter()
        .filter(|row| plain(&of(row.kind)) != Verdict::Never)
        .map(|row| row.name)
        .collect();
    let expected = [
        "conflict",
        "rate_limited",
        "overloaded",
        "shutting_down",
        "upstream_error",
        "connect_failed",
        "transport_interrupted",
    ];
    assert_eq!(retried, expected);
}
