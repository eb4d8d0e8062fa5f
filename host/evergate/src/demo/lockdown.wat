;; A policy in twelve lines: whatever is not already a known connection is blocked.
(module
  (memory (export "memory") 1)
  ;; The host writes its question at the address that this returns.
  (func (export "evergate_abi_v1") (result i32)
    (i32.const 1024))
  ;; The verdict word: 2 is "block".
  (func (export "decide") (param $request i32) (result i64)
    (i64.const 2)))
