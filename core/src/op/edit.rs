//! stub
use super::*;
use crate::{api, id::Actor, replica::Replica};
/// x
pub fn compile(ops: &[api::EditOp], _: &Replica, _: (u64, Actor, u64)) -> Result<Vec<Op>, api::ApiError> {
    ops.iter()
        .map(|op| {
            Ok(Op {
                code: OpCode::named(&op.otype)
                    .ok_or_else(|| api::ApiError::new(api::Code::UnknownOperation, "x"))?,
                key: op.key.clone(),
                path: op.path.clone(),
                value: op.value.clone().unwrap_or_default(),
                options: op.options.clone(),
            })
        })
        .collect()
}
