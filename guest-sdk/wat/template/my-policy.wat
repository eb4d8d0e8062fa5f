;; my-policy: lets TCP connections to the ports of a list pass.
;;
;; Memory, of which this file is the map:
;;
;;     0  the request, 64 bytes: where the gateway describes each packet
;;    64  names
;;   128  the message for a setting that makes no sense
;;   256  the ports, 2 bytes each
;;
;; A policy may have 16 MiB and more, if the configuration says so; one page has 64 KiB.
(module
  ;; What it uses of the gateway. The numbers are addresses in this memory, lengths, ids.
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "count" (func $count (param i32 i64)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "portsothers")
  (data (i32.const 128) "setting `ports`: up to 64 numbers from 1 to 65535")  ;; 49 bytes

  (global $ports (mut i32) (i32.const 0))    ;; how many
  (global $others (mut i32) (i32.const -1))  ;; a counter's id

  ;; The module speaks version 1 of the ABI; requests go to address 0.
  (func (export "evergate_abi_v1") (result i32) (i32.const 0))

  ;; Runs once: reads the settings, resolves names. Returns 0, or 1 after saying why not.
  (func (export "init") (result i32)
    (local $n i64)
    (global.set $others
      (call $resolve
        (i32.const 1)    ;; a counter
        (i32.const 69)   ;; "others"
        (i32.const 6)))
    (loop $next
      (local.set $n
        (call $config_int (i32.const 64) (i32.const 5) (global.get $ports)))
      ;; The end of the list.
      (if (i64.eq (local.get $n) (i64.const 0x8000000000000000)) (then
        (return (i32.const 0))))
      ;; Taking 1 away makes 0 the largest of all unsigned numbers.
      (if (i32.or
            (i64.ge_u (i64.sub (local.get $n) (i64.const 1)) (i64.const 65535))
            (i32.eq (global.get $ports) (i32.const 64))) (then
        (call $log (i32.const 0) (i32.const 128) (i32.const 49))  ;; 0 is an error
        (return (i32.const 1))))
      (i32.store16 offset=256
        (i32.shl (global.get $ports) (i32.const 1))
        (i32.wrap_i64 (local.get $n)))
      (global.set $ports (i32.add (global.get $ports) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; Decides about one packet that belongs to no state. The verdict's word: bits 0-7 what to do
  ;; (0 continue, 1 pass, 2 block), bit 8 log, bits 16-31 the number of the rule.
  (func (export "decide") (param $request i32) (result i64)
    (local $i i32)
    (if (i32.eq (i32.load8_u offset=3 (local.get $request)) (i32.const 6)) (then  ;; TCP
      (loop $next
        (if (i32.lt_u (local.get $i) (global.get $ports)) (then
          (if (i32.eq
                (i32.load16_u offset=42 (local.get $request))  ;; the destination port
                (i32.load16_u offset=256 (i32.shl (local.get $i) (i32.const 1)))) (then
            (return (i64.const 0x10001))))  ;; pass, rule 1
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))))
    (if (i32.ge_s (global.get $others) (i32.const 0)) (then
      (call $count (global.get $others) (i64.const 1))))
    (i64.const 0)))  ;; continue
