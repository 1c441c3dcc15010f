//! MLflow's error codes, and the answer that bears one.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_store::StoreError;
use serde_json::json;

use crate::app::Aside;
use crate::payload::PayloadError;

/// An error code of MLflow's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    BadRequest,
    InvalidParameterValue,
    ResourceDoesNotExist,
    ResourceAlreadyExists,
    ResourceConflict,
    EndpointNotFound,
    Unauthenticated,
    PermissionDenied,
    RequestLimitExceeded,
    InternalError,
    NotImplemented,
    TemporarilyUnavailable,
    /// Not one of MLflow's: the disk is full (HTTP 507).
    InsufficientStorage,
}

impl ErrorCode {
    fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::ResourceConflict => "RESOURCE_CONFLICT",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::InsufficientStorage => "INSUFFICIENT_STORAGE",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::InvalidParameterValue | Self::ResourceAlreadyExists => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceDoesNotExist | Self::EndpointNotFound => StatusCode::NOT_FOUND,
            Self::ResourceConflict => StatusCode::CONFLICT,
            Self::RequestLimitExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// Why a request of MLflow's protocol was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MlflowError {
    code: ErrorCode,
    status: StatusCode,
    message: String,
}

impl MlflowError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, status: code.status(), message: message.into() }
    }

    /// A parameter has a value that it must not have.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// A parameter without which nothing can be done is not there.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::invalid(format!("the parameter `{parameter}` is required, and is missing or empty"))
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }

    /// What HTTP says in `status`, in MLflow's words.
    pub(crate) fn with_status(status: StatusCode, message: &str) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ErrorCode::EndpointNotFound,
            StatusCode::UNAUTHORIZED => ErrorCode::Unauthenticated,
            StatusCode::FORBIDDEN => ErrorCode::PermissionDenied,
            StatusCode::TOO_MANY_REQUESTS => ErrorCode::RequestLimitExceeded,
            StatusCode::SERVICE_UNAVAILABLE => ErrorCode::TemporarilyUnavailable,
            status if status.is_server_error() => ErrorCode::InternalError,
            _ => ErrorCode::BadRequest,
        };
        Self { code, status, message: message.to_owned() }
    }

    /// The message.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Code and message, as an answer of another protocol may hold them.
    pub(crate) fn described(&self) -> serde_json::Value {
        json!({ "code": self.code.name(), "message": self.message })
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }
}

impl IntoResponse for MlflowError {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code.name(), "message": self.message });
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.code, ErrorCode::TemporarilyUnavailable | ErrorCode::RequestLimitExceeded) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for MlflowError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound { .. } => ErrorCode::ResourceDoesNotExist,
            StoreError::Exists { .. } => ErrorCode::ResourceAlreadyExists,
            StoreError::Invalid(_) | StoreError::TooLarge { .. } => ErrorCode::InvalidParameterValue,
            StoreError::Conflict(_) => ErrorCode::ResourceConflict,
            StoreError::Full => ErrorCode::InsufficientStorage,
            StoreError::Busy | StoreError::Closed | StoreError::Unavailable(_) => {
                ErrorCode::TemporarilyUnavailable
            }
            _ => ErrorCode::InternalError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Aside> for MlflowError {
    fn from(aside: Aside) -> Self {
        let code = match aside {
            Aside::Busy => ErrorCode::TemporarilyUnavailable,
            Aside::Broken => ErrorCode::InternalError,
        };
        Self::new(code, aside.to_string())
    }
}

impl From<PayloadError> for MlflowError {
    fn from(error: PayloadError) -> Self {
        let code = match &error {
            PayloadError::Json(_) => ErrorCode::InvalidParameterValue,
            _ => ErrorCode::BadRequest,
        };
        let status = match &error {
            PayloadError::ContentType { .. } | PayloadError::Compressed(_) => StatusCode::BAD_REQUEST,
            other => other.status(),
        };
        Self { code, status, message: error.to_string() }
    }
}
