//! Who may ask the endpoint for what: the API says whom a token stands for and what somebody may, as with the kubelet's
//! webhooks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everynode_client::Client;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::answer::Refusal;
use super::answers::Answers;
use super::user::User;

/// How long the API may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long its answers hold: the kubelet's defaults.
const TOKEN_HOLDS: Duration = Duration::from_secs(2 * 60);
const ALLOWED_HOLDS: Duration = Duration::from_secs(5 * 60);
const DENIED_HOLDS: Duration = Duration::from_secs(30);

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// What the API says about who may do what.
#[derive(Debug)]
pub struct Access {
    api: Client,
    node: String,
    tokens: Mutex<Answers<String, Option<Arc<User>>>>,
    rights: Mutex<Answers<Right, bool>>,
}

/// Whether somebody may do something with a subresource of the node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Right {
    user: Arc<User>,
    verb: &'static str,
    subresource: &'static str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenReview {
    status: TokenReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenReviewStatus {
    authenticated: bool,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessReview {
    status: AccessReviewStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessReviewStatus {
    allowed: bool,
}

impl Access {
    /// To the endpoint of a node.
    pub fn new(api: Client, node: &str) -> Access {
        let api = api.with_request_timeout(DEADLINE);
        Access { api, node: node.to_owned(), tokens: Mutex::default(), rights: Mutex::default() }
    }

    /// Whom the bearer token of a request stands for.
    ///
    /// # Errors
    /// 401: there is none, it stands for nobody, or the API does not say.
    pub async fn user_of_token(&self, headers: &HeaderMap) -> Result<Arc<User>, Refusal> {
        let unauthorized = |message: &str| Refusal::new(StatusCode::UNAUTHORIZED, message);
        let token = bearer_token(headers).ok_or_else(|| unauthorized("Unauthorized"))?;
        let known = lock(&self.tokens).get(&token.to_owned(), Instant::now());
        let user = match known {
            Some(user) => user,
            None => {
                let reviewed = self.review_token(token).await;
                let why =
                    |error| unauthorized(&format!("Unauthorized: the API did not review the token: {error}"));
                let user = reviewed.map_err(why)?.map(Arc::new);
                lock(&self.tokens).keep(token.to_owned(), user.clone(), TOKEN_HOLDS, Instant::now());
                user
            }
        };
        user.ok_or_else(|| unauthorized("Unauthorized"))
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, everynode_client::Error> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token },
        });
        let answer = self.api.post(TOKEN_REVIEWS, review.to_string()).await?;
        let TokenReviewStatus { authenticated, user } =
            serde_json::from_slice::<TokenReview>(&answer).unwrap_or_default().status;
        Ok(Some(user).filter(|user| authenticated && !user.username.is_empty()))
    }

    /// Sees that somebody may do this with one of these subresources of the node.
    ///
    /// # Errors
    /// 403: nobody has allowed it. 500: the API does not say.
    pub async fn check(
        &self,
        user: &Arc<User>,
        method: &Method,
        subresources: &'static [&'static str],
    ) -> Result<(), Refusal> {
        let verb = verb(method);
        let who =
            |subresource: &str| format!("user={}, verb={verb}, resource=nodes, {subresource}", user.username);
        for &subresource in subresources {
            let right = Right { user: user.clone(), verb, subresource };
            let is_allowed = self.may(right).await.map_err(|error| {
                let who = who(&format!("subresource={subresource}"));
                Refusal::internal(format!("Authorization error ({who}): {error}"))
            })?;
            if is_allowed {
                return Ok(());
            }
        }
        let who = who(&format!("subresource(s)=[{}]", subresources.join(" ")));
        Err(Refusal::new(StatusCode::FORBIDDEN, format!("Forbidden ({who})\n")))
    }

    async fn may(&self, right: Right) -> Result<bool, everynode_client::Error> {
        let known = lock(&self.rights).get(&right, Instant::now());
        if let Some(is_allowed) = known {
            return Ok(is_allowed);
        }
        let mut spec = json!(*right.user);
        spec["resourceAttributes"] = json!({
            "verb": right.verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": right.subresource,
            "name": self.node,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        });
        let answer = self.api.post(ACCESS_REVIEWS, review.to_string()).await?;
        let is_allowed = serde_json::from_slice::<AccessReview>(&answer).unwrap_or_default().status.allowed;
        let holds = if is_allowed { ALLOWED_HOLDS } else { DENIED_HOLDS };
        lock(&self.rights).keep(right, is_allowed, holds, Instant::now());
        Ok(is_allowed)
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// The verb of the API that a method stands for; none for methods that nothing is asked by.
fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
