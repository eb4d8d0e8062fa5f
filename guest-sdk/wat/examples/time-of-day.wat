;; time-of-day: refuses new connections outside of given hours.
;;
;;   setting      default     meaning
;;   from         "00:00"     when the hours begin
;;   to           "24:00"     when they end; earlier than from: on the next day
;;   days         every day   weekdays on which they begin: ["mon", "tue"]
;;   utc_offset   0           minutes that local time is ahead of UTC, -720 to 840
;;   tag          none        tag for packets outside of the hours, instead of refusing them
;;
;;   rule 1: outside of the hours
;;
;; Memory: 0 request, 64 verdict record, 128 keys, 160 weekdays, 200 messages, 512 a text.
(module
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (import "evergate" "clock" (func $clock (param i32) (result i64)))
  (memory (export "memory") 1)

  (data (i32.const 64) "\40\00")  ;; the record's size; 67 ICMP code, 68 fields, 70 tag
  (data (i32.const 128) "fromdaysutc_offsettagto")
  (data (i32.const 160) "montuewedthufrisatsun")
  (data (i32.const 200) "setting `from` has to be a time such as 08:30")       ;; 45
  (data (i32.const 250) "setting `to` has to be a time such as 08:30")         ;; 43
  (data (i32.const 300) "settings `from` and `to` are the same")               ;; 37
  (data (i32.const 340) "setting `days` has to name weekdays such as mon")     ;; 47
  (data (i32.const 390) "setting `utc_offset` is out of range")                ;; 36
  (data (i32.const 430) "setting `utc_offset` has to be a number")             ;; 39

  (global $from (mut i64) (i64.const 0))
  (global $to (mut i64) (i64.const 0))
  (global $days (mut i32) (i32.const 0))    ;; bit 0 is Monday
  (global $offset (mut i64) (i64.const 0))
  (global $tag (mut i32) (i32.const 0))

  (func (export "evergate_abi_v1") (result i32) (i32.const 0))

  ;; Says why the policy does not start; returns 1.
  (func $bad (param $message i32) (param $length i32) (result i32)
    (call $log (i32.const 0) (local.get $message) (local.get $length))
    (i32.const 1))

  ;; Copies a text to 512; returns its length, -1 if there is none.
  (func $text (param $key i32) (param $length i32) (param $index i32) (result i32)
    (call $config_str (local.get $key) (local.get $length) (local.get $index)
      (i32.const 512) (i32.const 112)))

  (func $is_int (param $key i32) (param $length i32) (param $index i32) (result i32)
    (i64.ne
      (call $config_int (local.get $key) (local.get $length) (local.get $index))
      (i64.const 0x8000000000000000)))

  ;; The number that two digits at this address make; a large one if they are none.
  (func $two_digits (param $at i32) (result i32)
    (local $tens i32) (local $ones i32)
    (local.set $tens (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
    (local.set $ones (i32.sub (i32.load8_u offset=1 (local.get $at)) (i32.const 48)))
    (if (i32.or
          (i32.gt_u (local.get $tens) (i32.const 9))
          (i32.gt_u (local.get $ones) (i32.const 9))) (then
      (return (i32.const 1000))))
    (i32.add (i32.mul (local.get $tens) (i32.const 10)) (local.get $ones)))

  ;; Reads a time such as 08:30 as minutes; -1 if the setting is none.
  (func $minute (param $key i32) (param $length i32) (param $default i64) (result i64)
    (local $found i32) (local $minutes i32) (local $minute i32)
    (local.set $found (call $text (local.get $key) (local.get $length) (i32.const 0)))
    (if (i32.lt_s (local.get $found) (i32.const 0)) (then
      (if (call $is_int (local.get $key) (local.get $length) (i32.const 0)) (then
        (return (i64.const -1))))
      (return (local.get $default))))
    (if (i32.or
          (i32.ne (local.get $found) (i32.const 5))
          (i32.ne (i32.load8_u (i32.const 514)) (i32.const 58))) (then  ;; a colon
      (return (i64.const -1))))
    (local.set $minutes (call $two_digits (i32.const 515)))
    (local.set $minute
      (i32.add
        (i32.mul (call $two_digits (i32.const 512)) (i32.const 60))
        (local.get $minutes)))
    (if (i32.or
          (i32.gt_u (local.get $minutes) (i32.const 59))
          (i32.gt_u (local.get $minute) (i32.const 1440))) (then
      (return (i64.const -1))))
    (i64.extend_i32_u (local.get $minute)))

  ;; The number of the weekday at 512, 0 for Monday; 7 if it is none.
  (func $weekday (result i32)
    (local $day i32) (local $at i32)
    (loop $next
      (local.set $at (i32.add (i32.const 160) (i32.mul (local.get $day) (i32.const 3))))
      (if (i32.and
            (i32.eq (i32.load16_u (i32.const 512)) (i32.load16_u (local.get $at)))
            (i32.eq (i32.load8_u (i32.const 514)) (i32.load8_u offset=2 (local.get $at))))
        (then (return (local.get $day))))
      (local.set $day (i32.add (local.get $day) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $day) (i32.const 7))))
    (local.get $day))

  ;; Reads the weekdays; returns 1 if the setting makes no sense.
  (func $read_days (result i32)
    (local $index i32) (local $length i32) (local $day i32)
    (loop $next
      (local.set $length (call $text (i32.const 132) (i32.const 4) (local.get $index)))
      (if (i32.lt_s (local.get $length) (i32.const 0)) (then
        (if (call $is_int (i32.const 132) (i32.const 4) (local.get $index)) (then
          (return (call $bad (i32.const 340) (i32.const 47)))))
        (if (i32.eqz (global.get $days)) (then (global.set $days (i32.const 0x7f))))
        (return (i32.const 0))))
      (local.set $day
        (select (call $weekday) (i32.const 7) (i32.eq (local.get $length) (i32.const 3))))
      (if (i32.eq (local.get $day) (i32.const 7)) (then
        (return (call $bad (i32.const 340) (i32.const 47)))))
      (global.set $days
        (i32.or (global.get $days) (i32.shl (i32.const 1) (local.get $day))))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; Reads the offset; returns 1 if the setting makes no sense.
  (func $read_offset (result i32)
    (if (call $is_int (i32.const 136) (i32.const 10) (i32.const 0)) (then
      (global.set $offset (call $config_int (i32.const 136) (i32.const 10) (i32.const 0)))
      (if (i64.gt_u (i64.add (global.get $offset) (i64.const 720)) (i64.const 1560)) (then
        (return (call $bad (i32.const 390) (i32.const 36)))))
      (return (i32.const 0))))
    (if (i32.ge_s (call $text (i32.const 136) (i32.const 10) (i32.const 0)) (i32.const 0)) (then
      (return (call $bad (i32.const 430) (i32.const 39)))))
    (i32.const 0))

  (func (export "init") (result i32)
    (local $length i32)
    (global.set $from (call $minute (i32.const 128) (i32.const 4) (i64.const 0)))
    (if (i64.lt_s (global.get $from) (i64.const 0)) (then
      (return (call $bad (i32.const 200) (i32.const 45)))))
    (global.set $to (call $minute (i32.const 149) (i32.const 2) (i64.const 1440)))
    (if (i64.lt_s (global.get $to) (i64.const 0)) (then
      (return (call $bad (i32.const 250) (i32.const 43)))))
    (if (i64.eq (global.get $from) (global.get $to)) (then
      (return (call $bad (i32.const 300) (i32.const 37)))))
    (if (call $read_days) (then (return (i32.const 1))))
    (if (call $read_offset) (then (return (i32.const 1))))
    (local.set $length (call $text (i32.const 146) (i32.const 3) (i32.const 0)))
    (if (i32.le_u (local.get $length) (i32.const 112)) (then
      (global.set $tag (call $resolve (i32.const 3) (i32.const 512) (local.get $length)))
      (if (i32.lt_s (global.get $tag) (i32.const 0)) (then (global.set $tag (i32.const 0))))))
    (i32.const 0))

  ;; Whether the hours begin on a day, counted from a week before 1970, a Thursday.
  (func $begins_on (param $day i64) (result i32)
    (i32.and
      (i32.shr_u
        (global.get $days)
        (i32.wrap_i64 (i64.rem_u (i64.add (local.get $day) (i64.const 3)) (i64.const 7))))
      (i32.const 1)))

  (func $is_within (result i32)
    (local $minutes i64) (local $day i64)
    ;; A week more keeps the first days of 1970 west of Greenwich positive.
    (local.set $minutes
      (i64.add
        (i64.div_u (call $clock (i32.const 1)) (i64.const 60))
        (i64.add (global.get $offset) (i64.const 10080))))
    (local.set $day (i64.div_u (local.get $minutes) (i64.const 1440)))
    (local.set $minutes (i64.rem_u (local.get $minutes) (i64.const 1440)))
    (if (i64.lt_s (global.get $from) (global.get $to)) (then
      (return
        (i32.and
          (i32.and
            (i64.ge_u (local.get $minutes) (global.get $from))
            (i64.lt_u (local.get $minutes) (global.get $to)))
          (call $begins_on (local.get $day))))))
    (i32.or
      (i32.and
        (i64.ge_u (local.get $minutes) (global.get $from))
        (call $begins_on (local.get $day)))
      (i32.and
        (i64.lt_u (local.get $minutes) (global.get $to))
        (call $begins_on (i64.sub (local.get $day) (i64.const 1))))))

  (func (export "decide") (param i32) (result i64)
    (if (call $is_within) (then (return (i64.const 0))))
    (if (global.get $tag) (then
      (i32.store16 (i32.const 70) (global.get $tag))
      (return (i64.const 0x4000000000))))  ;; continue, record at 64
    (if (i32.eq (i32.load8_u (i32.const 3)) (i32.const 6)) (then
      (return (i64.const 0x10003))))  ;; return-rst, rule 1
    ;; "Administratively prohibited" is 13 for ICMP and 1 for ICMPv6.
    (i32.store8 (i32.const 67)
      (select (i32.const 13) (i32.const 1)
        (i32.eq (i32.load8_u (i32.const 2)) (i32.const 4))))
    (i32.store16 (i32.const 68) (i32.const 1))
    (i64.const 0x4000010004)))  ;; return-icmp, rule 1, record at 64
