define internal void @"stage0_H"(ptr %"context", i64 %"thread", i64 %"t", i64 %"j", i64 %"q", i64 %"r0", i64 %"r1", i64 %"first") noinline nounwind
{
entry:
  ; b_z
  ; vectors H
  %".12" = getelementptr inbounds ptr, ptr %"context", i64 6
  %".13" = load ptr, ptr %".12"
  %".14" = mul i64 %"j", 4
  %".15" = add i64 %".14", 1
  %".16" = mul i64 %".15", 16
  %".17" = getelementptr inbounds float, ptr %".13", i64 %".16"
  %".18" = load <16 x float>, ptr %".17", align 16
  ; b_n_h
  %".20" = mul i64 %"j", 4
  %".21" = add i64 %".20", 3
  %".22" = mul i64 %".21", 16
  %".23" = getelementptr inbounds float, ptr %".13", i64 %".22"
  %".24" = load <16 x float>, ptr %".23", align 16
  ; b_r
  %".26" = mul i64 %"j", 4
  %".27" = mul i64 %".26", 16
  %".28" = getelementptr inbounds float, ptr %".13", i64 %".27"
  %".29" = load <16 x float>, ptr %".28", align 16
  ; b_n_x
  %".31" = mul i64 %"j", 4
  %".32" = add i64 %".31", 2
  %".33" = mul i64 %".32", 16
  %".34" = getelementptr inbounds float, ptr %".13", i64 %".33"
  %".35" = load <16 x float>, ptr %".34", align 16
  %".36" = add i64 %"j", 1
  %".37" = mul i64 %".36", 16
  ; units H
  %".39" = getelementptr inbounds i64, ptr %"context", i64 7
  %".40" = load i64, ptr %".39"
  %".41" = icmp sle i64 %".37", %".40"
  ; state h ring
  %".44" = getelementptr inbounds i64, ptr %"context", i64 8
  %".45" = load i64, ptr %".44"
  ; state h
  %".48" = getelementptr inbounds ptr, ptr %"context", i64 9
  %".49" = load ptr, ptr %".48"
  ; state h step
  %".51" = getelementptr inbounds i64, ptr %"context", i64 10
  %".52" = load i64, ptr %".51"
  ; state h start
  %".57" = getelementptr inbounds ptr, ptr %"context", i64 11
  %".58" = load ptr, ptr %".57"
  ; state h start row
  %".61" = getelementptr inbounds i64, ptr %"context", i64 12
  %".62" = load i64, ptr %".61"
  ; state h row
  %".64" = getelementptr inbounds i64, ptr %"context", i64 13
  %".65" = load i64, ptr %".64"
  ; value ring
  %".70" = getelementptr inbounds i64, ptr %"context", i64 14
  %".71" = load i64, ptr %".70"
  ; B
  %".74" = getelementptr inbounds i64, ptr %"context", i64 3
  %".75" = load i64, ptr %".74"
  ; value rows
  %".78" = getelementptr inbounds i64, ptr %"context", i64 15
  %".79" = load i64, ptr %".78"
  ; value H
  %".83" = getelementptr inbounds ptr, ptr %"context", i64 16
  %".84" = load ptr, ptr %".83"
  ; output in state
  %".202" = getelementptr inbounds i64, ptr %"context", i64 17
  %".203" = load i64, ptr %".202"
  ; order
  %".208" = getelementptr inbounds ptr, ptr %"context", i64 18
  %".209" = load ptr, ptr %".208"
  ; output 0 batch
  %".213" = getelementptr inbounds i64, ptr %"context", i64 19
  %".214" = load i64, ptr %".213"
  ; first
  %".217" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".218" = load ptr, ptr %".217"
  ; output 0 time
  %".222" = getelementptr inbounds i64, ptr %"context", i64 21
  %".223" = load i64, ptr %".222"
  ; output 0
  %".227" = getelementptr inbounds ptr, ptr %"context", i64 22
  %".228" = load ptr, ptr %".227"
  ; output 0 step
  %".230" = getelementptr inbounds i64, ptr %"context", i64 23
  %".231" = load i64, ptr %".230"
  br i1 %".41", label %"then", label %"else"
then:
  %".46" = urem i64 %"t", %".45"
  %".53" = mul i64 %".46", %".52"
  %".54" = getelementptr inbounds float, ptr %".49", i64 %".53"
  %".55" = icmp eq i64 %"t", 0
  %".59" = select  i1 %".55", ptr %".58", ptr %".54"
  %".66" = select  i1 %".55", i64 %".62", i64 %".65"
  %".67" = mul i64 %"j", 16
  %".68" = getelementptr inbounds float, ptr %".59", i64 %".67"
  %".72" = urem i64 %"t", %".71"
  %".76" = mul i64 %".72", %".75"
  %".80" = mul i64 %"j", %".79"
  %".81" = add i64 %".80", %".76"
  %".85" = mul i64 %".81", 64
  %".86" = getelementptr inbounds float, ptr %".84", i64 %".85"
  %".87" = add i64 %"t", 1
  %".88" = urem i64 %".87", %".45"
  %".89" = mul i64 %".88", %".52"
  %".90" = getelementptr inbounds float, ptr %".49", i64 %".89"
  %".91" = icmp eq i64 %".87", 0
  %".92" = select  i1 %".91", ptr %".58", ptr %".90"
  %".93" = select  i1 %".91", i64 %".62", i64 %".65"
  %".94" = mul i64 %"j", 16
  %".95" = getelementptr inbounds float, ptr %".92", i64 %".94"
  %".96" = icmp slt i64 %"r0", %"r1"
  br i1 %".96", label %"loop", label %"done"
endif:
  ret void
else:
  %".265" = mul i64 %"j", 16
  %".266" = sub i64 %".40", %".265"
  %".267" = trunc i64 %".266" to i32
  %".268" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".267", i32 0
  %".269" = shufflevector <16 x i32> %".268", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".270" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".269"
  %".271" = urem i64 %"t", %".45"
  %".272" = mul i64 %".271", %".52"
  %".273" = getelementptr inbounds float, ptr %".49", i64 %".272"
  %".274" = icmp eq i64 %"t", 0
  %".275" = select  i1 %".274", ptr %".58", ptr %".273"
  %".276" = select  i1 %".274", i64 %".62", i64 %".65"
  %".277" = mul i64 %"j", 16
  %".278" = getelementptr inbounds float, ptr %".275", i64 %".277"
  %".279" = urem i64 %"t", %".71"
  %".280" = mul i64 %".279", %".75"
  %".281" = mul i64 %"j", %".79"
  %".282" = add i64 %".281", %".280"
  %".283" = mul i64 %".282", 64
  %".284" = getelementptr inbounds float, ptr %".84", i64 %".283"
  %".285" = add i64 %"t", 1
  %".286" = urem i64 %".285", %".45"
  %".287" = mul i64 %".286", %".52"
  %".288" = getelementptr inbounds float, ptr %".49", i64 %".287"
  %".289" = icmp eq i64 %".285", 0
  %".290" = select  i1 %".289", ptr %".58", ptr %".288"
  %".291" = select  i1 %".289", i64 %".62", i64 %".65"
  %".292" = mul i64 %"j", 16
  %".293" = getelementptr inbounds float, ptr %".290", i64 %".292"
  %".294" = icmp slt i64 %"r0", %"r1"
  br i1 %".294", label %"loop.1", label %"done.1"
loop:
  %".98" = phi  i64 [%"r0", %"then"], [%".261", %"endif.1"]
  ; value[H, 1]: W_z x_t + U_z h_{t-1}
  %".100" = mul i64 %".98", 64
  %".101" = getelementptr inbounds float, ptr %".86", i64 %".100"
  %".102" = getelementptr inbounds float, ptr %".101", i64 16
  %".103" = load <16 x float>, ptr %".102", align 4
  ; z_pre_t = W_z x_t + U_z h_{t-1} + b_z
  %".105" = fadd contract <16 x float> %".103", %".18"
  ; z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
  %".107" = fcmp ogt <16 x float> %".105", splat (float 0x4039000000000000)
  %".108" = select  <16 x i1> %".107", <16 x float> splat (float 0x4039000000000000), <16 x float> %".105"
  %".109" = fcmp olt <16 x float> %".108", splat (float 0xc056400000000000)
  %".110" = select  <16 x i1> %".109", <16 x float> splat (float 0xc056400000000000), <16 x float> %".108"
  %".111" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".110", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".112" = fsub <16 x float> splat (float 0x4168000fe0000000), %".111"
  %".113" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".112", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".110")
  %".114" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".112", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".113")
  %".115" = fmul <16 x float> %".114", %".114"
  %".116" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".114", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".117" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".114", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".118" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".115", <16 x float> %".117")
  %".119" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".118", <16 x float> %".115", <16 x float> %".116")
  %".120" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".119", <16 x float> %".115", <16 x float> %".114")
  %".121" = bitcast <16 x float> %".111" to <16 x i32>
  %".122" = shl <16 x i32> %".121", splat (i32 23)
  %".123" = bitcast <16 x i32> %".122" to <16 x float>
  %".124" = fsub <16 x float> splat (float 0x3ff0000000000000), %".120"
  %".125" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".123", <16 x float> %".124", <16 x float> splat (float 0x3ff0000000000000))
  %".126" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".125"
  %".127" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".126"
  ; value[H, 0]: W_n x_t
  %".129" = mul i64 %".98", 64
  %".130" = getelementptr inbounds float, ptr %".86", i64 %".129"
  %".131" = load <16 x float>, ptr %".130", align 4
  %".132" = fadd contract <16 x float> %".131", %".35"
  ; value[H, 2]: W_r x_t + U_r h_{t-1}
  %".134" = mul i64 %".98", 64
  %".135" = getelementptr inbounds float, ptr %".86", i64 %".134"
  %".136" = getelementptr inbounds float, ptr %".135", i64 32
  %".137" = load <16 x float>, ptr %".136", align 4
  ; r_pre_t = W_r x_t + U_r h_{t-1} + b_r
  %".139" = fadd contract <16 x float> %".137", %".29"
  ; r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
  %".141" = fcmp ogt <16 x float> %".139", splat (float 0x4039000000000000)
  %".142" = select  <16 x i1> %".141", <16 x float> splat (float 0x4039000000000000), <16 x float> %".139"
  %".143" = fcmp olt <16 x float> %".142", splat (float 0xc056400000000000)
  %".144" = select  <16 x i1> %".143", <16 x float> splat (float 0xc056400000000000), <16 x float> %".142"
  %".145" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".144", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".146" = fsub <16 x float> splat (float 0x4168000fe0000000), %".145"
  %".147" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".146", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".144")
  %".148" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".146", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".147")
  %".149" = fmul <16 x float> %".148", %".148"
  %".150" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".148", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".151" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".148", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".152" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".149", <16 x float> %".151")
  %".153" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".152", <16 x float> %".149", <16 x float> %".150")
  %".154" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".153", <16 x float> %".149", <16 x float> %".148")
  %".155" = bitcast <16 x float> %".145" to <16 x i32>
  %".156" = shl <16 x i32> %".155", splat (i32 23)
  %".157" = bitcast <16 x i32> %".156" to <16 x float>
  %".158" = fsub <16 x float> splat (float 0x3ff0000000000000), %".154"
  %".159" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".157", <16 x float> %".158", <16 x float> splat (float 0x3ff0000000000000))
  %".160" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".159"
  ; value[H, 3]: U_n h_{t-1}
  %".162" = mul i64 %".98", 64
  %".163" = getelementptr inbounds float, ptr %".86", i64 %".162"
  %".164" = getelementptr inbounds float, ptr %".163", i64 48
  %".165" = load <16 x float>, ptr %".164", align 4
  %".166" = fadd contract <16 x float> %".165", %".24"
  %".167" = fmul contract <16 x float> %".160", %".166"
  ; n_pre_t = W_n x_t + b_n_x + r_t ⊙ (U_n h_{t-1} + b_n_h)
  %".169" = fadd contract <16 x float> %".132", %".167"
  ; n_t = tanh(W_n x_t + b_n_x + r_t ⊙ (U_n h_{t-1} + b_n_h))
  %".171" = fcmp ogt <16 x float> %".169", splat (float 0x4024000000000000)
  %".172" = select  <16 x i1> %".171", <16 x float> splat (float 0x4024000000000000), <16 x float> %".169"
  %".173" = fcmp olt <16 x float> %".172", splat (float 0xc024000000000000)
  %".174" = select  <16 x i1> %".173", <16 x float> splat (float 0xc024000000000000), <16 x float> %".172"
  %".175" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".174", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".176" = fsub <16 x float> splat (float 0x4168000fe0000000), %".175"
  %".177" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".176", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".174")
  %".178" = fmul <16 x float> %".177", %".177"
  %".179" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".177", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".180" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".177", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".181" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".178", <16 x float> %".180")
  %".182" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".181", <16 x float> %".178", <16 x float> %".179")
  %".183" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".182", <16 x float> %".178", <16 x float> %".177")
  %".184" = bitcast <16 x float> %".175" to <16 x i32>
  %".185" = shl <16 x i32> %".184", splat (i32 23)
  %".186" = bitcast <16 x i32> %".185" to <16 x float>
  %".187" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".186", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".188" = fneg <16 x float> %".187"
  %".189" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".186", <16 x float> %".183", <16 x float> %".188")
  %".190" = fsub <16 x float> splat (float 0x3ff0000000000000), %".189"
  %".191" = fdiv <16 x float> %".189", %".190"
  %".192" = fmul contract <16 x float> %".127", %".191"
  ; state[h]: h_{t-1}
  %".194" = mul i64 %".98", %".66"
  %".195" = getelementptr inbounds float, ptr %".68", i64 %".194"
  %".196" = load <16 x float>, ptr %".195", align 4
  %".197" = fmul contract <16 x float> %".126", %".196"
  ; h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
  %".199" = fadd contract <16 x float> %".192", %".197"
  ; output = h_t
  %".204" = icmp eq i64 %".203", 0
  br i1 %".204", label %"then.1", label %"endif.1"
done:
  br label %"endif"
then.1:
  %".206" = mul i64 %"j", 16
  %".210" = getelementptr inbounds i64, ptr %".209", i64 %".98"
  %".211" = load i64, ptr %".210"
  %".215" = mul i64 %".211", %".214"
  %".219" = getelementptr inbounds i64, ptr %".218", i64 %".98"
  %".220" = load i64, ptr %".219"
  %".224" = mul i64 %".220", %".223"
  %".225" = add i64 %".215", %".224"
  %".232" = mul i64 %"t", %".231"
  %".233" = add i64 %".225", %".232"
  %".234" = getelementptr inbounds float, ptr %".228", i64 %".233"
  %".235" = getelementptr inbounds float, ptr %".234", i64 %".206"
  store <16 x float> %".199", ptr %".235", align 4
  br label %"endif.1"
endif.1:
  ; state[h](t+1) = h_t
  %".239" = mul i64 %".98", %".93"
  %".240" = getelementptr inbounds float, ptr %".95", i64 %".239"
  store <16 x float> %".199", ptr %".240", align 4
  ; value[H, 1] = r_t
  %".243" = mul i64 %".98", 64
  %".244" = getelementptr inbounds float, ptr %".86", i64 %".243"
  %".245" = getelementptr inbounds float, ptr %".244", i64 16
  store <16 x float> %".160", ptr %".245", align 4
  ; value[H, 2]
  %".248" = mul i64 %".98", 64
  %".249" = getelementptr inbounds float, ptr %".86", i64 %".248"
  %".250" = getelementptr inbounds float, ptr %".249", i64 32
  store <16 x float> %".166", ptr %".250", align 4
  ; value[H, 3] = n_t
  %".253" = mul i64 %".98", 64
  %".254" = getelementptr inbounds float, ptr %".86", i64 %".253"
  %".255" = getelementptr inbounds float, ptr %".254", i64 48
  store <16 x float> %".191", ptr %".255", align 4
  ; value[H, 0] = z_t
  %".258" = mul i64 %".98", 64
  %".259" = getelementptr inbounds float, ptr %".86", i64 %".258"
  store <16 x float> %".126", ptr %".259", align 4
  %".261" = add i64 %".98", 1
  %".262" = icmp slt i64 %".261", %"r1"
  br i1 %".262", label %"loop", label %"done"
loop.1:
  %".296" = phi  i64 [%"r0", %"else"], [%".442", %"endif.2"]
  ; value[H, 1]: W_z x_t + U_z h_{t-1}
  %".298" = mul i64 %".296", 64
  %".299" = getelementptr inbounds float, ptr %".284", i64 %".298"
  %".300" = getelementptr inbounds float, ptr %".299", i64 16
  %".301" = load <16 x float>, ptr %".300", align 4
  ; z_pre_t = W_z x_t + U_z h_{t-1} + b_z
  %".303" = fadd contract <16 x float> %".301", %".18"
  ; z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
  %".305" = fcmp ogt <16 x float> %".303", splat (float 0x4039000000000000)
  %".306" = select  <16 x i1> %".305", <16 x float> splat (float 0x4039000000000000), <16 x float> %".303"
  %".307" = fcmp olt <16 x float> %".306", splat (float 0xc056400000000000)
  %".308" = select  <16 x i1> %".307", <16 x float> splat (float 0xc056400000000000), <16 x float> %".306"
  %".309" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".308", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".310" = fsub <16 x float> splat (float 0x4168000fe0000000), %".309"
  %".311" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".310", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".308")
  %".312" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".310", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".311")
  %".313" = fmul <16 x float> %".312", %".312"
  %".314" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".312", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".315" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".312", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".316" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".313", <16 x float> %".315")
  %".317" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".316", <16 x float> %".313", <16 x float> %".314")
  %".318" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".317", <16 x float> %".313", <16 x float> %".312")
  %".319" = bitcast <16 x float> %".309" to <16 x i32>
  %".320" = shl <16 x i32> %".319", splat (i32 23)
  %".321" = bitcast <16 x i32> %".320" to <16 x float>
  %".322" = fsub <16 x float> splat (float 0x3ff0000000000000), %".318"
  %".323" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".321", <16 x float> %".322", <16 x float> splat (float 0x3ff0000000000000))
  %".324" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".323"
  %".325" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".324"
  ; value[H, 0]: W_n x_t
  %".327" = mul i64 %".296", 64
  %".328" = getelementptr inbounds float, ptr %".284", i64 %".327"
  %".329" = load <16 x float>, ptr %".328", align 4
  %".330" = fadd contract <16 x float> %".329", %".35"
  ; value[H, 2]: W_r x_t + U_r h_{t-1}
  %".332" = mul i64 %".296", 64
  %".333" = getelementptr inbounds float, ptr %".284", i64 %".332"
  %".334" = getelementptr inbounds float, ptr %".333", i64 32
  %".335" = load <16 x float>, ptr %".334", align 4
  ; r_pre_t = W_r x_t + U_r h_{t-1} + b_r
  %".337" = fadd contract <16 x float> %".335", %".29"
  ; r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
  %".339" = fcmp ogt <16 x float> %".337", splat (float 0x4039000000000000)
  %".340" = select  <16 x i1> %".339", <16 x float> splat (float 0x4039000000000000), <16 x float> %".337"
  %".341" = fcmp olt <16 x float> %".340", splat (float 0xc056400000000000)
  %".342" = select  <16 x i1> %".341", <16 x float> splat (float 0xc056400000000000), <16 x float> %".340"
  %".343" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".342", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".344" = fsub <16 x float> splat (float 0x4168000fe0000000), %".343"
  %".345" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".344", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".342")
  %".346" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".344", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".345")
  %".347" = fmul <16 x float> %".346", %".346"
  %".348" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".346", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".349" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".346", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".350" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".347", <16 x float> %".349")
  %".351" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".350", <16 x float> %".347", <16 x float> %".348")
  %".352" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".351", <16 x float> %".347", <16 x float> %".346")
  %".353" = bitcast <16 x float> %".343" to <16 x i32>
  %".354" = shl <16 x i32> %".353", splat (i32 23)
  %".355" = bitcast <16 x i32> %".354" to <16 x float>
  %".356" = fsub <16 x float> splat (float 0x3ff0000000000000), %".352"
  %".357" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".355", <16 x float> %".356", <16 x float> splat (float 0x3ff0000000000000))
  %".358" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".357"
  ; value[H, 3]: U_n h_{t-1}
  %".360" = mul i64 %".296", 64
  %".361" = getelementptr inbounds float, ptr %".284", i64 %".360"
  %".362" = getelementptr inbounds float, ptr %".361", i64 48
  %".363" = load <16 x float>, ptr %".362", align 4
  %".364" = fadd contract <16 x float> %".363", %".24"
  %".365" = fmul contract <16 x float> %".358", %".364"
  ; n_pre_t = W_n x_t + b_n_x + r_t ⊙ (U_n h_{t-1} + b_n_h)
  %".367" = fadd contract <16 x float> %".330", %".365"
  ; n_t = tanh(W_n x_t + b_n_x + r_t ⊙ (U_n h_{t-1} + b_n_h))
  %".369" = fcmp ogt <16 x float> %".367", splat (float 0x4024000000000000)
  %".370" = select  <16 x i1> %".369", <16 x float> splat (float 0x4024000000000000), <16 x float> %".367"
  %".371" = fcmp olt <16 x float> %".370", splat (float 0xc024000000000000)
  %".372" = select  <16 x i1> %".371", <16 x float> splat (float 0xc024000000000000), <16 x float> %".370"
  %".373" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".372", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".374" = fsub <16 x float> splat (float 0x4168000fe0000000), %".373"
  %".375" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".374", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".372")
  %".376" = fmul <16 x float> %".375", %".375"
  %".377" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".375", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".378" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".375", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".379" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".376", <16 x float> %".378")
  %".380" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".379", <16 x float> %".376", <16 x float> %".377")
  %".381" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".380", <16 x float> %".376", <16 x float> %".375")
  %".382" = bitcast <16 x float> %".373" to <16 x i32>
  %".383" = shl <16 x i32> %".382", splat (i32 23)
  %".384" = bitcast <16 x i32> %".383" to <16 x float>
  %".385" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".384", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".386" = fneg <16 x float> %".385"
  %".387" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".384", <16 x float> %".381", <16 x float> %".386")
  %".388" = fsub <16 x float> splat (float 0x3ff0000000000000), %".387"
  %".389" = fdiv <16 x float> %".387", %".388"
  %".390" = fmul contract <16 x float> %".325", %".389"
  ; state[h]: h_{t-1}
  %".392" = mul i64 %".296", %".276"
  %".393" = getelementptr inbounds float, ptr %".278", i64 %".392"
  %".394" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".393", i32 4, <16 x i1> %".270", <16 x float> splat (float              0x0))
  %".395" = fmul contract <16 x float> %".324", %".394"
  ; h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
  %".397" = fadd contract <16 x float> %".390", %".395"
  ; output = h_t
  %".399" = icmp eq i64 %".203", 0
  br i1 %".399", label %"then.2", label %"endif.2"
done.1:
  br label %"endif"
then.2:
  %".401" = mul i64 %"j", 16
  %".402" = getelementptr inbounds i64, ptr %".209", i64 %".296"
  %".403" = load i64, ptr %".402"
  %".404" = mul i64 %".403", %".214"
  %".405" = getelementptr inbounds i64, ptr %".218", i64 %".296"
  %".406" = load i64, ptr %".405"
  %".407" = mul i64 %".406", %".223"
  %".408" = add i64 %".404", %".407"
  %".409" = mul i64 %"t", %".231"
  %".410" = add i64 %".408", %".409"
  %".411" = getelementptr inbounds float, ptr %".228", i64 %".410"
  %".412" = getelementptr inbounds float, ptr %".411", i64 %".401"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".397", ptr %".412", i32 4, <16 x i1> %".270")
  br label %"endif.2"
endif.2:
  ; state[h](t+1) = h_t
  %".416" = mul i64 %".296", %".291"
  %".417" = getelementptr inbounds float, ptr %".293", i64 %".416"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".397", ptr %".417", i32 4, <16 x i1> %".270")
  ; value[H, 1] = r_t
  %".420" = select  <16 x i1> %".270", <16 x float> %".358", <16 x float> splat (float              0x0)
  %".421" = mul i64 %".296", 64
  %".422" = getelementptr inbounds float, ptr %".284", i64 %".421"
  %".423" = getelementptr inbounds float, ptr %".422", i64 16
  store <16 x float> %".420", ptr %".423", align 4
  ; value[H, 2]
  %".426" = select  <16 x i1> %".270", <16 x float> %".364", <16 x float> splat (float              0x0)
  %".427" = mul i64 %".296", 64
  %".428" = getelementptr inbounds float, ptr %".284", i64 %".427"
  %".429" = getelementptr inbounds float, ptr %".428", i64 32
  store <16 x float> %".426", ptr %".429", align 4
  ; value[H, 3] = n_t
  %".432" = select  <16 x i1> %".270", <16 x float> %".389", <16 x float> splat (float              0x0)
  %".433" = mul i64 %".296", 64
  %".434" = getelementptr inbounds float, ptr %".284", i64 %".433"
  %".435" = getelementptr inbounds float, ptr %".434", i64 48
  store <16 x float> %".432", ptr %".435", align 4
  ; value[H, 0] = z_t
  %".438" = select  <16 x i1> %".270", <16 x float> %".324", <16 x float> splat (float              0x0)
  %".439" = mul i64 %".296", 64
  %".440" = getelementptr inbounds float, ptr %".284", i64 %".439"
  store <16 x float> %".438", ptr %".440", align 4
  %".442" = add i64 %".296", 1
  %".443" = icmp slt i64 %".442", %"r1"
  br i1 %".443", label %"loop.1", label %"done.1"
}

define internal void @"enter_H"(ptr %"context", i64 %"thread", i64 %"t", i64 %"j", i64 %"q", i64 %"r0", i64 %"r1", i64 %"first") noinline nounwind
{
entry:
  %".10" = add i64 %"j", 1
  %".11" = mul i64 %".10", 16
  ; units H
  %".13" = getelementptr inbounds i64, ptr %"context", i64 7
  %".14" = load i64, ptr %".13"
  %".15" = icmp sle i64 %".11", %".14"
  ; state h ring
  %".19" = getelementptr inbounds i64, ptr %"context", i64 8
  %".20" = load i64, ptr %".19"
  ; state h
  %".23" = getelementptr inbounds ptr, ptr %"context", i64 9
  %".24" = load ptr, ptr %".23"
  ; state h step
  %".26" = getelementptr inbounds i64, ptr %"context", i64 10
  %".27" = load i64, ptr %".26"
  ; state h start
  %".32" = getelementptr inbounds ptr, ptr %"context", i64 11
  %".33" = load ptr, ptr %".32"
  ; state h start row
  %".36" = getelementptr inbounds i64, ptr %"context", i64 12
  %".37" = load i64, ptr %".36"
  ; state h row
  %".39" = getelementptr inbounds i64, ptr %"context", i64 13
  %".40" = load i64, ptr %".39"
  ; initial h
  %".50" = getelementptr inbounds ptr, ptr %"context", i64 24
  %".51" = load ptr, ptr %".50"
  ; order
  %".53" = getelementptr inbounds ptr, ptr %"context", i64 18
  %".54" = load ptr, ptr %".53"
  ; initial h batch
  %".58" = getelementptr inbounds i64, ptr %"context", i64 25
  %".59" = load i64, ptr %".58"
  br i1 %".15", label %"then", label %"else"
then:
  %".17" = add i64 %"t", 1
  %".21" = urem i64 %".17", %".20"
  %".28" = mul i64 %".21", %".27"
  %".29" = getelementptr inbounds float, ptr %".24", i64 %".28"
  %".30" = icmp eq i64 %".17", 0
  %".34" = select  i1 %".30", ptr %".33", ptr %".29"
  %".41" = select  i1 %".30", i64 %".37", i64 %".40"
  %".42" = mul i64 %"j", 16
  %".43" = getelementptr inbounds float, ptr %".34", i64 %".42"
  %".44" = icmp slt i64 %"r0", %"r1"
  br i1 %".44", label %"loop", label %"done"
endif:
  ret void
else:
  %".72" = mul i64 %"j", 16
  %".73" = sub i64 %".14", %".72"
  %".74" = trunc i64 %".73" to i32
  %".75" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".74", i32 0
  %".76" = shufflevector <16 x i32> %".75", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".77" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".76"
  %".78" = add i64 %"t", 1
  %".79" = urem i64 %".78", %".20"
  %".80" = mul i64 %".79", %".27"
  %".81" = getelementptr inbounds float, ptr %".24", i64 %".80"
  %".82" = icmp eq i64 %".78", 0
  %".83" = select  i1 %".82", ptr %".33", ptr %".81"
  %".84" = select  i1 %".82", i64 %".37", i64 %".40"
  %".85" = mul i64 %"j", 16
  %".86" = getelementptr inbounds float, ptr %".83", i64 %".85"
  %".87" = icmp slt i64 %"r0", %"r1"
  br i1 %".87", label %"loop.1", label %"done.1"
loop:
  %".46" = phi  i64 [%"r0", %"then"], [%".68", %"loop"]
  ; initial[h]
  %".48" = mul i64 %"j", 16
  %".55" = getelementptr inbounds i64, ptr %".54", i64 %".46"
  %".56" = load i64, ptr %".55"
  %".60" = mul i64 %".56", %".59"
  %".61" = getelementptr inbounds float, ptr %".51", i64 %".60"
  %".62" = getelementptr inbounds float, ptr %".61", i64 %".48"
  %".63" = load <16 x float>, ptr %".62", align 4
  ; state[h](t+1)
  %".65" = mul i64 %".46", %".41"
  %".66" = getelementptr inbounds float, ptr %".43", i64 %".65"
  store <16 x float> %".63", ptr %".66", align 4
  %".68" = add i64 %".46", 1
  %".69" = icmp slt i64 %".68", %"r1"
  br i1 %".69", label %"loop", label %"done"
done:
  br label %"endif"
loop.1:
  %".89" = phi  i64 [%"r0", %"else"], [%".102", %"loop.1"]
  ; initial[h]
  %".91" = mul i64 %"j", 16
  %".92" = getelementptr inbounds i64, ptr %".54", i64 %".89"
  %".93" = load i64, ptr %".92"
  %".94" = mul i64 %".93", %".59"
  %".95" = getelementptr inbounds float, ptr %".51", i64 %".94"
  %".96" = getelementptr inbounds float, ptr %".95", i64 %".91"
  %".97" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".96", i32 4, <16 x i1> %".77", <16 x float> splat (float              0x0))
  ; state[h](t+1)
  %".99" = mul i64 %".89", %".84"
  %".100" = getelementptr inbounds float, ptr %".86", i64 %".99"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".97", ptr %".100", i32 4, <16 x i1> %".77")
  %".102" = add i64 %".89", 1
  %".103" = icmp slt i64 %".102", %"r1"
  br i1 %".103", label %"loop.1", label %"done.1"
done.1:
  br label %"endif"
}
