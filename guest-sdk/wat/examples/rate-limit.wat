;; rate-limit: blocks what one source begins faster than it may. A source is an IPv4 address or an
;; IPv6 /64: one household, whatever address it picks today.
;;
;;   setting   default    meaning
;;   per_s     10         new connections per second and source, 1 to 1000000
;;   burst     as per_s   how many may come at once, 1 to 1000000
;;
;;   rule 1: over the rate
;;
;; What is blocked counts in "limited". Packets from the gateway itself are not limited.
;;
;; Memory: 0 request, 64 names and keys, 128 messages.
(module
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "count" (func $count (param i32 i64)))
  (import "evergate" "meter" (func $take (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "per_sburstsourceslimited")
  ;; The key goes to the five dots.
  (data (i32.const 128) "setting `.....` is out of range")    ;; 31
  (data (i32.const 160) "setting `.....` has to be a number") ;; 34
  (data (i32.const 200) "there is no room for a meter")       ;; 28

  (global $sources (mut i32) (i32.const -1))
  (global $limited (mut i32) (i32.const -1))
  (global $rate_milli (mut i32) (i32.const 0))
  (global $burst (mut i32) (i32.const 0))

  (func (export "evergate_abi_v1") (result i32) (i32.const 0))

  ;; Says what is wrong with a setting; returns 0.
  (func $bad (param $key i32) (param $message i32) (param $length i32) (result i64)
    (memory.copy (i32.add (local.get $message) (i32.const 9)) (local.get $key) (i32.const 5))
    (call $log (i32.const 0) (local.get $message) (local.get $length))
    (i64.const 0))

  ;; Reads a setting from 1 to 1000000; 0 if it makes no sense.
  (func $number (param $key i32) (param $default i64) (result i64)
    (local $n i64)
    (local.set $n (call $config_int (local.get $key) (i32.const 5) (i32.const 0)))
    (if (i64.ne (local.get $n) (i64.const 0x8000000000000000)) (then
      (if (i64.ge_u (i64.sub (local.get $n) (i64.const 1)) (i64.const 1000000)) (then
        (return (call $bad (local.get $key) (i32.const 128) (i32.const 31)))))
      (return (local.get $n))))
    ;; With no room for the text, only its length comes back.
    (if (i32.ge_s
          (call $config_str (local.get $key) (i32.const 5) (i32.const 0)
            (i32.const 0) (i32.const 0))
          (i32.const 0)) (then
      (return (call $bad (local.get $key) (i32.const 160) (i32.const 34)))))
    (local.get $default))

  (func (export "init") (result i32)
    (local $per_s i64) (local $n i64)
    (local.set $per_s (call $number (i32.const 64) (i64.const 10)))
    (if (i64.eqz (local.get $per_s)) (then (return (i32.const 1))))
    (global.set $rate_milli
      (i32.mul (i32.wrap_i64 (local.get $per_s)) (i32.const 1000)))
    (local.set $n (call $number (i32.const 69) (local.get $per_s)))
    (if (i64.eqz (local.get $n)) (then (return (i32.const 1))))
    (global.set $burst (i32.wrap_i64 (local.get $n)))
    (global.set $limited (call $resolve (i32.const 1) (i32.const 81) (i32.const 7)))
    (global.set $sources (call $resolve (i32.const 2) (i32.const 74) (i32.const 7)))
    (if (i32.lt_s (global.get $sources) (i32.const 0)) (then
      (call $log (i32.const 0) (i32.const 200) (i32.const 28))
      (return (i32.const 1))))
    (i32.const 0))

  (func (export "decide") (param i32) (result i64)
    (local $is_v4 i32)
    (if (i32.eq (i32.load8_u (i32.const 4)) (i32.const 2)) (then  ;; from the gateway itself
      (return (i64.const 0))))
    (local.set $is_v4 (i32.eq (i32.load8_u (i32.const 2)) (i32.const 4)))
    (if (call $take
          (global.get $sources)
          (select (i32.const 20) (i32.const 8) (local.get $is_v4))
          (select (i32.const 4) (i32.const 8) (local.get $is_v4))
          (global.get $rate_milli)
          (global.get $burst)) (then
      (return (i64.const 0))))
    (if (i32.ge_s (global.get $limited) (i32.const 0)) (then
      (call $count (global.get $limited) (i64.const 1))))
    (i64.const 0x10002)))  ;; block, rule 1
