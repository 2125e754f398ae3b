//! POST of `serviceaccounts/token`.

use everynode_apimachinery::status::Status;
use http::Response;

use super::Call;
use super::pods::expected;
use crate::authz::node;
use crate::http::body::Body;
use crate::http::query::WriteOptions;
use crate::{meta, tokens};

/// Answers a TokenRequest with a token. Nothing is stored, so a dry run gets one too.
pub fn create(call: &mut Call<'_>, bytes: &[u8]) -> Result<Response<Body>, Status> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let expected = expected("authentication.k8s.io", "TokenRequest", "authentication.v1.TokenRequest")?;
    let request = call.read_body(&expected, bytes, options.field_validation)?;
    let own = meta::text(&request, "namespace");
    if !own.is_empty() && own != call.namespace {
        return Err(Status::bad_request(super::create::OTHER_NAMESPACE));
    }
    node::check_token(call.state, &call.user, &call.namespace, &call.name, &request)?;
    let answer = tokens::request(call.state, &call.namespace, &call.name, request)?;
    Ok(call.answer_other(201, expected.ty, answer))
}
