//! An endpoint, declared once: its handler, and all that the document says of it. The router and the document are both
//! made of these declarations, so neither can have what the other lacks.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{self, MethodRouter},
};

use super::{
    ApiState, auth,
    schema::{Shape, text},
};

use crate::model::role::Role;

/// A parameter of a query.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub shape: &'static Shape,
    /// What it means.
    pub what: &'static str,
}

/// A parameter of a query.
pub const fn parameter(name: &'static str, shape: &'static Shape, what: &'static str) -> Parameter {
    Parameter { name, shape, what }
}

/// What is answered when all is well.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The media type; empty: no body.
    pub media: &'static str,
    /// What the body is.
    pub shape: &'static Shape,
}

/// A method of a path.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// In lower case, as the document has it.
    pub method: &'static str,
    /// With its parameters in braces.
    pub path: String,
    /// One line, without a full stop.
    pub summary: &'static str,
    /// What else is to be said.
    pub description: &'static str,
    /// Parameters of the path that are more, or less, than their names say.
    pub path_shapes: Vec<(&'static str, &'static Shape)>,
    /// Parameters of the query.
    pub query: Vec<Parameter>,
    /// Headers that are read.
    pub headers: Vec<Parameter>,
    /// The body that is required.
    pub body: Option<&'static Shape>,
    /// Answers when all is well.
    pub answers: Vec<Answer>,
    /// Status codes of errors, beside those that every endpoint may have.
    pub errors: Vec<u16>,
    /// What a caller has to be, where callers are authenticated; none: anybody is answered.
    pub role: Option<Role>,
    handler: MethodRouter<ApiState>,
}

/// A tenant's name, as BOS bounds it.
const TENANT: Shape = text(127);

impl Endpoint {
    fn new(method: &'static str, path: &str, summary: &'static str, handler: MethodRouter<ApiState>) -> Self {
        Self {
            method,
            path: path.to_owned(),
            summary,
            description: "",
            path_shapes: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            errors: Vec::new(),
            role: Some(if method == "get" { Role::View } else { Role::Operate }),
            handler,
        }
    }

    /// GET, and HEAD with it.
    pub fn get<H, T>(path: &str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        Self::new("get", path, summary, routing::get(handler))
    }

    /// POST.
    pub fn post<H, T>(path: &str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        Self::new("post", path, summary, routing::post(handler))
    }

    /// PUT.
    pub fn put<H, T>(path: &str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        Self::new("put", path, summary, routing::put(handler))
    }

    /// PATCH.
    pub fn patch<H, T>(path: &str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        Self::new("patch", path, summary, routing::patch(handler))
    }

    /// DELETE.
    pub fn delete<H, T>(path: &str, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        Self::new("delete", path, summary, routing::delete(handler))
    }

    /// What else is to be said.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// What a parameter of the path must be, where `{name}` is not BOS's NAME or `{id}` not a component's.
    pub fn path_shape(mut self, name: &'static str, shape: &'static Shape) -> Self {
        self.path_shapes.push((name, shape));
        self
    }

    /// The parameters of the query.
    pub fn query(mut self, parameters: &[Parameter]) -> Self {
        self.query.extend(parameters);
        self
    }

    /// A header that is read.
    pub fn header(mut self, header: Parameter) -> Self {
        self.headers.push(header);
        self
    }

    /// It minds `Cray-Tenant-Name`.
    pub fn tenant(self) -> Self {
        self.header(parameter(
            "Cray-Tenant-Name",
            &TENANT,
            "Whose; absent or empty: nobody's. A hint of the gateway's, never a proof",
        ))
    }

    /// The body that is required: its shape as the handler checks it.
    pub fn body(mut self, shape: &'static Shape) -> Self {
        self.body = Some(shape);
        self.errors.extend([408, 413, 415]);
        self
    }

    /// The body may be larger than others.
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::max(bytes));
        self
    }

    /// A JSON answer.
    pub fn answer(self, status: u16, shape: &'static Shape) -> Self {
        self.answer_as(status, "application/json", shape)
    }

    /// An answer of another media type.
    pub fn answer_as(mut self, status: u16, media: &'static str, shape: &'static Shape) -> Self {
        self.answers.push(Answer { status, media, shape });
        self
    }

    /// An answer without a body.
    pub fn empty(self, status: u16) -> Self {
        self.answer_as(status, "", &Shape::Any)
    }

    /// Errors beside 400, 500 and 503, which every endpoint may have, and those that go with a body.
    pub fn errors(mut self, statuses: &[u16]) -> Self {
        self.errors.extend(statuses);
        self
    }

    /// Callers have to be more, or need be less, than their method says: a GET takes [`Role::View`], all else
    /// [`Role::Operate`].
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// Anybody is answered.
    pub fn open(mut self) -> Self {
        self.role = None;
        self
    }

    /// The same below a prefix.
    pub fn below(mut self, prefix: &str) -> Self {
        self.path = if self.path == "/" { prefix.to_owned() } else { format!("{prefix}{}", self.path) };
        self
    }
}

/// The router of these endpoints.
pub fn router(endpoints: &[Endpoint], state: &ApiState) -> Router<ApiState> {
    let guarded = |endpoint: &Endpoint| match endpoint.role {
        None => endpoint.handler.clone(),
        Some(role) => {
            let door = auth::Door { state: state.clone(), role };
            endpoint.handler.clone().route_layer(from_fn_with_state(door, auth::pass))
        }
    };
    endpoints.iter().fold(Router::new(), |router, endpoint| router.route(&endpoint.path, guarded(endpoint)))
}
