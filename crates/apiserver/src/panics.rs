//! Panics that end what they happen in, and nothing else.
//!
//! The command ends the process on a panic, by a hook (crates/cli/src/main.rs): no part goes on without the one that
//! failed. What a client or a damaged file can reach is no such part. The hook is not told of panics in here.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

use everynode_apimachinery::status::Status;

/// What is known of a panic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a panic at {place}: {message}")]
pub struct Panic {
    /// File, line and column.
    pub place: String,
    /// What the code said.
    pub message: String,
}

thread_local! {
    /// Where this thread contains panics, what is known of the last one.
    static CONTAINED: RefCell<Option<Panic>> = const { RefCell::new(None) };
    static DEPTH: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Runs what may panic, and gives the panic as a result.
///
/// # Errors
/// The panic.
pub fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match DEPTH.get() {
            0 => others(info),
            _ => CONTAINED.set(Some(describe(info))),
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(run));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|_| {
        let unknown = || Panic { place: "an unknown place".into(), message: "nothing was said".into() };
        CONTAINED.take().unwrap_or_else(unknown)
    })
}

/// The same for a future. It is not asked again after a panic.
///
/// # Errors
/// The panic.
pub async fn contained_async<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    poll_fn(|context| match contained(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The work of a request. A panic is a bug, which ends this request only.
///
/// # Errors
/// The refusal of the request.
pub async fn contained_request<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    contained_async(work).await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "a request was given up");
        Err(Status::internal("the server made a mistake, which its log names"))
    })
}

fn describe(info: &PanicHookInfo<'_>) -> Panic {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    Panic { place, message: info.payload_as_str().unwrap_or("something that is no text").to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_result_that_names_its_place() {
        let panic = contained(|| panic!("a bug")).unwrap_err();
        assert_eq!(panic.message, "a bug");
        assert!(panic.place.contains("panics.rs"), "{panic}");
        assert_eq!(contained(|| contained(|| 1)), Ok(Ok(1)));
        let inner = contained(|| contained(|| panic!("inner")).map_err(|panic| panic.message)).unwrap();
        assert_eq!(inner, Err::<(), _>("inner".to_owned()));
    }

    #[tokio::test]
    async fn a_future_that_panics_behind_a_wait_is_contained_too() {
        let future = async {
            tokio::task::yield_now().await;
            panic!("late");
        };
        let result: Result<(), Panic> = contained_async(future).await;
        assert_eq!(result.unwrap_err().message, "late");
        assert_eq!(contained_async(async { 2 }).await, Ok(2));
    }
}
