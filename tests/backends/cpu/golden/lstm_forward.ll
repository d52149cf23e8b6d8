define internal void @"stage0_H"(ptr %"context", i64 %"thread", i64 %"t", i64 %"j", i64 %"q", i64 %"r0", i64 %"r1", i64 %"first") noinline nounwind
{
entry:
  ; b_g
  ; vectors H
  %".12" = getelementptr inbounds ptr, ptr %"context", i64 6
  %".13" = load ptr, ptr %".12"
  %".14" = mul i64 %"j", 4
  %".15" = add i64 %".14", 2
  %".16" = mul i64 %".15", 16
  %".17" = getelementptr inbounds float, ptr %".13", i64 %".16"
  %".18" = load <16 x float>, ptr %".17", align 16
  ; b_i
  %".20" = mul i64 %"j", 4
  %".21" = mul i64 %".20", 16
  %".22" = getelementptr inbounds float, ptr %".13", i64 %".21"
  %".23" = load <16 x float>, ptr %".22", align 16
  ; b_f
  %".25" = mul i64 %"j", 4
  %".26" = add i64 %".25", 1
  %".27" = mul i64 %".26", 16
  %".28" = getelementptr inbounds float, ptr %".13", i64 %".27"
  %".29" = load <16 x float>, ptr %".28", align 16
  ; b_o
  %".31" = mul i64 %"j", 4
  %".32" = add i64 %".31", 3
  %".33" = mul i64 %".32", 16
  %".34" = getelementptr inbounds float, ptr %".13", i64 %".33"
  %".35" = load <16 x float>, ptr %".34", align 16
  %".36" = add i64 %"j", 1
  %".37" = mul i64 %".36", 16
  ; units H
  %".39" = getelementptr inbounds i64, ptr %"context", i64 7
  %".40" = load i64, ptr %".39"
  %".41" = icmp sle i64 %".37", %".40"
  ; value ring
  %".44" = getelementptr inbounds i64, ptr %"context", i64 8
  %".45" = load i64, ptr %".44"
  ; B
  %".48" = getelementptr inbounds i64, ptr %"context", i64 3
  %".49" = load i64, ptr %".48"
  ; value rows
  %".52" = getelementptr inbounds i64, ptr %"context", i64 9
  %".53" = load i64, ptr %".52"
  ; value H
  %".57" = getelementptr inbounds ptr, ptr %"context", i64 10
  %".58" = load ptr, ptr %".57"
  ; history
  %".62" = getelementptr inbounds i64, ptr %"context", i64 11
  %".63" = load i64, ptr %".62"
  ; state c
  %".69" = getelementptr inbounds ptr, ptr %"context", i64 12
  %".70" = load ptr, ptr %".69"
  ; state h ring
  %".75" = getelementptr inbounds i64, ptr %"context", i64 13
  %".76" = load i64, ptr %".75"
  ; state h
  %".79" = getelementptr inbounds ptr, ptr %"context", i64 14
  %".80" = load ptr, ptr %".79"
  ; state h step
  %".82" = getelementptr inbounds i64, ptr %"context", i64 15
  %".83" = load i64, ptr %".82"
  ; state h start
  %".88" = getelementptr inbounds ptr, ptr %"context", i64 16
  %".89" = load ptr, ptr %".88"
  ; state h start row
  %".92" = getelementptr inbounds i64, ptr %"context", i64 17
  %".93" = load i64, ptr %".92"
  ; state h row
  %".95" = getelementptr inbounds i64, ptr %"context", i64 18
  %".96" = load i64, ptr %".95"
  ; output in state
  %".255" = getelementptr inbounds i64, ptr %"context", i64 19
  %".256" = load i64, ptr %".255"
  ; order
  %".261" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".262" = load ptr, ptr %".261"
  ; output 0 batch
  %".266" = getelementptr inbounds i64, ptr %"context", i64 21
  %".267" = load i64, ptr %".266"
  ; first
  %".270" = getelementptr inbounds ptr, ptr %"context", i64 22
  %".271" = load ptr, ptr %".270"
  ; output 0 time
  %".275" = getelementptr inbounds i64, ptr %"context", i64 23
  %".276" = load i64, ptr %".275"
  ; output 0
  %".280" = getelementptr inbounds ptr, ptr %"context", i64 24
  %".281" = load ptr, ptr %".280"
  ; output 0 step
  %".283" = getelementptr inbounds i64, ptr %"context", i64 25
  %".284" = load i64, ptr %".283"
  br i1 %".41", label %"then", label %"else"
then:
  %".46" = urem i64 %"t", %".45"
  %".50" = mul i64 %".46", %".49"
  %".54" = mul i64 %"j", %".53"
  %".55" = add i64 %".54", %".50"
  %".59" = mul i64 %".55", 64
  %".60" = getelementptr inbounds float, ptr %".58", i64 %".59"
  %".64" = mul i64 %"j", %".63"
  %".65" = urem i64 %"t", %".63"
  %".66" = add i64 %".64", %".65"
  %".67" = mul i64 %".66", %".49"
  %".71" = mul i64 %".67", 16
  %".72" = getelementptr inbounds float, ptr %".70", i64 %".71"
  %".73" = add i64 %"t", 1
  %".77" = urem i64 %".73", %".76"
  %".84" = mul i64 %".77", %".83"
  %".85" = getelementptr inbounds float, ptr %".80", i64 %".84"
  %".86" = icmp eq i64 %".73", 0
  %".90" = select  i1 %".86", ptr %".89", ptr %".85"
  %".97" = select  i1 %".86", i64 %".93", i64 %".96"
  %".98" = mul i64 %"j", 16
  %".99" = getelementptr inbounds float, ptr %".90", i64 %".98"
  %".100" = add i64 %"t", 1
  %".101" = mul i64 %"j", %".63"
  %".102" = urem i64 %".100", %".63"
  %".103" = add i64 %".101", %".102"
  %".104" = mul i64 %".103", %".49"
  %".105" = mul i64 %".104", 16
  %".106" = getelementptr inbounds float, ptr %".70", i64 %".105"
  %".107" = icmp slt i64 %"r0", %"r1"
  br i1 %".107", label %"loop", label %"done"
endif:
  ret void
else:
  %".322" = mul i64 %"j", 16
  %".323" = sub i64 %".40", %".322"
  %".324" = trunc i64 %".323" to i32
  %".325" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".324", i32 0
  %".326" = shufflevector <16 x i32> %".325", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".327" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".326"
  %".328" = urem i64 %"t", %".45"
  %".329" = mul i64 %".328", %".49"
  %".330" = mul i64 %"j", %".53"
  %".331" = add i64 %".330", %".329"
  %".332" = mul i64 %".331", 64
  %".333" = getelementptr inbounds float, ptr %".58", i64 %".332"
  %".334" = mul i64 %"j", %".63"
  %".335" = urem i64 %"t", %".63"
  %".336" = add i64 %".334", %".335"
  %".337" = mul i64 %".336", %".49"
  %".338" = mul i64 %".337", 16
  %".339" = getelementptr inbounds float, ptr %".70", i64 %".338"
  %".340" = add i64 %"t", 1
  %".341" = urem i64 %".340", %".76"
  %".342" = mul i64 %".341", %".83"
  %".343" = getelementptr inbounds float, ptr %".80", i64 %".342"
  %".344" = icmp eq i64 %".340", 0
  %".345" = select  i1 %".344", ptr %".89", ptr %".343"
  %".346" = select  i1 %".344", i64 %".93", i64 %".96"
  %".347" = mul i64 %"j", 16
  %".348" = getelementptr inbounds float, ptr %".345", i64 %".347"
  %".349" = add i64 %"t", 1
  %".350" = mul i64 %"j", %".63"
  %".351" = urem i64 %".349", %".63"
  %".352" = add i64 %".350", %".351"
  %".353" = mul i64 %".352", %".49"
  %".354" = mul i64 %".353", 16
  %".355" = getelementptr inbounds float, ptr %".70", i64 %".354"
  %".356" = icmp slt i64 %"r0", %"r1"
  br i1 %".356", label %"loop.1", label %"done.1"
loop:
  %".109" = phi  i64 [%"r0", %"then"], [%".318", %"endif.1"]
  ; value[H, 0]: W_o x_t + U_o h_{t-1}
  %".111" = mul i64 %".109", 64
  %".112" = getelementptr inbounds float, ptr %".60", i64 %".111"
  %".113" = load <16 x float>, ptr %".112", align 4
  ; o_pre_t = W_o x_t + U_o h_{t-1} + b_o
  %".115" = fadd contract <16 x float> %".113", %".35"
  ; o_t = σ(W_o x_t + U_o h_{t-1} + b_o)
  %".117" = fcmp ogt <16 x float> %".115", splat (float 0x4039000000000000)
  %".118" = select  <16 x i1> %".117", <16 x float> splat (float 0x4039000000000000), <16 x float> %".115"
  %".119" = fcmp olt <16 x float> %".118", splat (float 0xc056400000000000)
  %".120" = select  <16 x i1> %".119", <16 x float> splat (float 0xc056400000000000), <16 x float> %".118"
  %".121" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".120", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".122" = fsub <16 x float> splat (float 0x4168000fe0000000), %".121"
  %".123" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".122", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".120")
  %".124" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".122", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".123")
  %".125" = fmul <16 x float> %".124", %".124"
  %".126" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".124", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".127" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".124", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".128" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".125", <16 x float> %".127")
  %".129" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".128", <16 x float> %".125", <16 x float> %".126")
  %".130" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".129", <16 x float> %".125", <16 x float> %".124")
  %".131" = bitcast <16 x float> %".121" to <16 x i32>
  %".132" = shl <16 x i32> %".131", splat (i32 23)
  %".133" = bitcast <16 x i32> %".132" to <16 x float>
  %".134" = fsub <16 x float> splat (float 0x3ff0000000000000), %".130"
  %".135" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".133", <16 x float> %".134", <16 x float> splat (float 0x3ff0000000000000))
  %".136" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".135"
  ; value[H, 1]: W_f x_t + U_f h_{t-1}
  %".138" = mul i64 %".109", 64
  %".139" = getelementptr inbounds float, ptr %".60", i64 %".138"
  %".140" = getelementptr inbounds float, ptr %".139", i64 16
  %".141" = load <16 x float>, ptr %".140", align 4
  ; f_pre_t = W_f x_t + U_f h_{t-1} + b_f
  %".143" = fadd contract <16 x float> %".141", %".29"
  ; f_t = σ(W_f x_t + U_f h_{t-1} + b_f)
  %".145" = fcmp ogt <16 x float> %".143", splat (float 0x4039000000000000)
  %".146" = select  <16 x i1> %".145", <16 x float> splat (float 0x4039000000000000), <16 x float> %".143"
  %".147" = fcmp olt <16 x float> %".146", splat (float 0xc056400000000000)
  %".148" = select  <16 x i1> %".147", <16 x float> splat (float 0xc056400000000000), <16 x float> %".146"
  %".149" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".148", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".150" = fsub <16 x float> splat (float 0x4168000fe0000000), %".149"
  %".151" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".150", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".148")
  %".152" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".150", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".151")
  %".153" = fmul <16 x float> %".152", %".152"
  %".154" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".152", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".155" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".152", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".156" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".153", <16 x float> %".155")
  %".157" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".156", <16 x float> %".153", <16 x float> %".154")
  %".158" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".157", <16 x float> %".153", <16 x float> %".152")
  %".159" = bitcast <16 x float> %".149" to <16 x i32>
  %".160" = shl <16 x i32> %".159", splat (i32 23)
  %".161" = bitcast <16 x i32> %".160" to <16 x float>
  %".162" = fsub <16 x float> splat (float 0x3ff0000000000000), %".158"
  %".163" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".161", <16 x float> %".162", <16 x float> splat (float 0x3ff0000000000000))
  %".164" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".163"
  ; state[c]: c_{t-1}
  %".166" = mul i64 %".109", 16
  %".167" = getelementptr inbounds float, ptr %".72", i64 %".166"
  %".168" = load <16 x float>, ptr %".167", align 4
  %".169" = fmul contract <16 x float> %".164", %".168"
  ; value[H, 2]: W_i x_t + U_i h_{t-1}
  %".171" = mul i64 %".109", 64
  %".172" = getelementptr inbounds float, ptr %".60", i64 %".171"
  %".173" = getelementptr inbounds float, ptr %".172", i64 32
  %".174" = load <16 x float>, ptr %".173", align 4
  ; i_pre_t = W_i x_t + U_i h_{t-1} + b_i
  %".176" = fadd contract <16 x float> %".174", %".23"
  ; i_t = σ(W_i x_t + U_i h_{t-1} + b_i)
  %".178" = fcmp ogt <16 x float> %".176", splat (float 0x4039000000000000)
  %".179" = select  <16 x i1> %".178", <16 x float> splat (float 0x4039000000000000), <16 x float> %".176"
  %".180" = fcmp olt <16 x float> %".179", splat (float 0xc056400000000000)
  %".181" = select  <16 x i1> %".180", <16 x float> splat (float 0xc056400000000000), <16 x float> %".179"
  %".182" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".181", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".183" = fsub <16 x float> splat (float 0x4168000fe0000000), %".182"
  %".184" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".183", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".181")
  %".185" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".183", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".184")
  %".186" = fmul <16 x float> %".185", %".185"
  %".187" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".185", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".188" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".185", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".189" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".186", <16 x float> %".188")
  %".190" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".189", <16 x float> %".186", <16 x float> %".187")
  %".191" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".190", <16 x float> %".186", <16 x float> %".185")
  %".192" = bitcast <16 x float> %".182" to <16 x i32>
  %".193" = shl <16 x i32> %".192", splat (i32 23)
  %".194" = bitcast <16 x i32> %".193" to <16 x float>
  %".195" = fsub <16 x float> splat (float 0x3ff0000000000000), %".191"
  %".196" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".194", <16 x float> %".195", <16 x float> splat (float 0x3ff0000000000000))
  %".197" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".196"
  ; value[H, 3]: W_g x_t + U_g h_{t-1}
  %".199" = mul i64 %".109", 64
  %".200" = getelementptr inbounds float, ptr %".60", i64 %".199"
  %".201" = getelementptr inbounds float, ptr %".200", i64 48
  %".202" = load <16 x float>, ptr %".201", align 4
  ; g_pre_t = W_g x_t + U_g h_{t-1} + b_g
  %".204" = fadd contract <16 x float> %".202", %".18"
  ; g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
  %".206" = fcmp ogt <16 x float> %".204", splat (float 0x4024000000000000)
  %".207" = select  <16 x i1> %".206", <16 x float> splat (float 0x4024000000000000), <16 x float> %".204"
  %".208" = fcmp olt <16 x float> %".207", splat (float 0xc024000000000000)
  %".209" = select  <16 x i1> %".208", <16 x float> splat (float 0xc024000000000000), <16 x float> %".207"
  %".210" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".209", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".211" = fsub <16 x float> splat (float 0x4168000fe0000000), %".210"
  %".212" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".211", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".209")
  %".213" = fmul <16 x float> %".212", %".212"
  %".214" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".212", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".215" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".212", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".216" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".213", <16 x float> %".215")
  %".217" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".216", <16 x float> %".213", <16 x float> %".214")
  %".218" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".217", <16 x float> %".213", <16 x float> %".212")
  %".219" = bitcast <16 x float> %".210" to <16 x i32>
  %".220" = shl <16 x i32> %".219", splat (i32 23)
  %".221" = bitcast <16 x i32> %".220" to <16 x float>
  %".222" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".221", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".223" = fneg <16 x float> %".222"
  %".224" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".221", <16 x float> %".218", <16 x float> %".223")
  %".225" = fsub <16 x float> splat (float 0x3ff0000000000000), %".224"
  %".226" = fdiv <16 x float> %".224", %".225"
  %".227" = fmul contract <16 x float> %".197", %".226"
  ; c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
  %".229" = fadd contract <16 x float> %".169", %".227"
  %".230" = fcmp ogt <16 x float> %".229", splat (float 0x4024000000000000)
  %".231" = select  <16 x i1> %".230", <16 x float> splat (float 0x4024000000000000), <16 x float> %".229"
  %".232" = fcmp olt <16 x float> %".231", splat (float 0xc024000000000000)
  %".233" = select  <16 x i1> %".232", <16 x float> splat (float 0xc024000000000000), <16 x float> %".231"
  %".234" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".233", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".235" = fsub <16 x float> splat (float 0x4168000fe0000000), %".234"
  %".236" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".235", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".233")
  %".237" = fmul <16 x float> %".236", %".236"
  %".238" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".236", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".239" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".236", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".240" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".237", <16 x float> %".239")
  %".241" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".240", <16 x float> %".237", <16 x float> %".238")
  %".242" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".241", <16 x float> %".237", <16 x float> %".236")
  %".243" = bitcast <16 x float> %".234" to <16 x i32>
  %".244" = shl <16 x i32> %".243", splat (i32 23)
  %".245" = bitcast <16 x i32> %".244" to <16 x float>
  %".246" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".245", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".247" = fneg <16 x float> %".246"
  %".248" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".245", <16 x float> %".242", <16 x float> %".247")
  %".249" = fsub <16 x float> splat (float 0x3ff0000000000000), %".248"
  %".250" = fdiv <16 x float> %".248", %".249"
  ; h_t = o_t ⊙ tanh(c_t)
  %".252" = fmul contract <16 x float> %".136", %".250"
  ; output = h_t
  %".257" = icmp eq i64 %".256", 0
  br i1 %".257", label %"then.1", label %"endif.1"
done:
  br label %"endif"
then.1:
  %".259" = mul i64 %"j", 16
  %".263" = getelementptr inbounds i64, ptr %".262", i64 %".109"
  %".264" = load i64, ptr %".263"
  %".268" = mul i64 %".264", %".267"
  %".272" = getelementptr inbounds i64, ptr %".271", i64 %".109"
  %".273" = load i64, ptr %".272"
  %".277" = mul i64 %".273", %".276"
  %".278" = add i64 %".268", %".277"
  %".285" = mul i64 %"t", %".284"
  %".286" = add i64 %".278", %".285"
  %".287" = getelementptr inbounds float, ptr %".281", i64 %".286"
  %".288" = getelementptr inbounds float, ptr %".287", i64 %".259"
  store <16 x float> %".252", ptr %".288", align 4
  br label %"endif.1"
endif.1:
  ; state[h](t+1) = h_t
  %".292" = mul i64 %".109", %".97"
  %".293" = getelementptr inbounds float, ptr %".99", i64 %".292"
  store <16 x float> %".252", ptr %".293", align 4
  ; state[c](t+1) = c_t
  %".296" = mul i64 %".109", 16
  %".297" = getelementptr inbounds float, ptr %".106", i64 %".296"
  store <16 x float> %".229", ptr %".297", align 4
  ; value[H, 1] = f_t
  %".300" = mul i64 %".109", 64
  %".301" = getelementptr inbounds float, ptr %".60", i64 %".300"
  %".302" = getelementptr inbounds float, ptr %".301", i64 16
  store <16 x float> %".164", ptr %".302", align 4
  ; value[H, 2] = i_t
  %".305" = mul i64 %".109", 64
  %".306" = getelementptr inbounds float, ptr %".60", i64 %".305"
  %".307" = getelementptr inbounds float, ptr %".306", i64 32
  store <16 x float> %".197", ptr %".307", align 4
  ; value[H, 3] = g_t
  %".310" = mul i64 %".109", 64
  %".311" = getelementptr inbounds float, ptr %".60", i64 %".310"
  %".312" = getelementptr inbounds float, ptr %".311", i64 48
  store <16 x float> %".226", ptr %".312", align 4
  ; value[H, 0] = o_t
  %".315" = mul i64 %".109", 64
  %".316" = getelementptr inbounds float, ptr %".60", i64 %".315"
  store <16 x float> %".136", ptr %".316", align 4
  %".318" = add i64 %".109", 1
  %".319" = icmp slt i64 %".318", %"r1"
  br i1 %".319", label %"loop", label %"done"
loop.1:
  %".358" = phi  i64 [%"r0", %"else"], [%".550", %"endif.2"]
  ; value[H, 0]: W_o x_t + U_o h_{t-1}
  %".360" = mul i64 %".358", 64
  %".361" = getelementptr inbounds float, ptr %".333", i64 %".360"
  %".362" = load <16 x float>, ptr %".361", align 4
  ; o_pre_t = W_o x_t + U_o h_{t-1} + b_o
  %".364" = fadd contract <16 x float> %".362", %".35"
  ; o_t = σ(W_o x_t + U_o h_{t-1} + b_o)
  %".366" = fcmp ogt <16 x float> %".364", splat (float 0x4039000000000000)
  %".367" = select  <16 x i1> %".366", <16 x float> splat (float 0x4039000000000000), <16 x float> %".364"
  %".368" = fcmp olt <16 x float> %".367", splat (float 0xc056400000000000)
  %".369" = select  <16 x i1> %".368", <16 x float> splat (float 0xc056400000000000), <16 x float> %".367"
  %".370" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".369", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".371" = fsub <16 x float> splat (float 0x4168000fe0000000), %".370"
  %".372" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".371", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".369")
  %".373" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".371", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".372")
  %".374" = fmul <16 x float> %".373", %".373"
  %".375" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".373", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".376" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".373", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".377" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".374", <16 x float> %".376")
  %".378" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".377", <16 x float> %".374", <16 x float> %".375")
  %".379" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".378", <16 x float> %".374", <16 x float> %".373")
  %".380" = bitcast <16 x float> %".370" to <16 x i32>
  %".381" = shl <16 x i32> %".380", splat (i32 23)
  %".382" = bitcast <16 x i32> %".381" to <16 x float>
  %".383" = fsub <16 x float> splat (float 0x3ff0000000000000), %".379"
  %".384" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".382", <16 x float> %".383", <16 x float> splat (float 0x3ff0000000000000))
  %".385" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".384"
  ; value[H, 1]: W_f x_t + U_f h_{t-1}
  %".387" = mul i64 %".358", 64
  %".388" = getelementptr inbounds float, ptr %".333", i64 %".387"
  %".389" = getelementptr inbounds float, ptr %".388", i64 16
  %".390" = load <16 x float>, ptr %".389", align 4
  ; f_pre_t = W_f x_t + U_f h_{t-1} + b_f
  %".392" = fadd contract <16 x float> %".390", %".29"
  ; f_t = σ(W_f x_t + U_f h_{t-1} + b_f)
  %".394" = fcmp ogt <16 x float> %".392", splat (float 0x4039000000000000)
  %".395" = select  <16 x i1> %".394", <16 x float> splat (float 0x4039000000000000), <16 x float> %".392"
  %".396" = fcmp olt <16 x float> %".395", splat (float 0xc056400000000000)
  %".397" = select  <16 x i1> %".396", <16 x float> splat (float 0xc056400000000000), <16 x float> %".395"
  %".398" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".397", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".399" = fsub <16 x float> splat (float 0x4168000fe0000000), %".398"
  %".400" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".399", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".397")
  %".401" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".399", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".400")
  %".402" = fmul <16 x float> %".401", %".401"
  %".403" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".401", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".404" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".401", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".405" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".402", <16 x float> %".404")
  %".406" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".405", <16 x float> %".402", <16 x float> %".403")
  %".407" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".406", <16 x float> %".402", <16 x float> %".401")
  %".408" = bitcast <16 x float> %".398" to <16 x i32>
  %".409" = shl <16 x i32> %".408", splat (i32 23)
  %".410" = bitcast <16 x i32> %".409" to <16 x float>
  %".411" = fsub <16 x float> splat (float 0x3ff0000000000000), %".407"
  %".412" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".410", <16 x float> %".411", <16 x float> splat (float 0x3ff0000000000000))
  %".413" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".412"
  ; state[c]: c_{t-1}
  %".415" = mul i64 %".358", 16
  %".416" = getelementptr inbounds float, ptr %".339", i64 %".415"
  %".417" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".416", i32 4, <16 x i1> %".327", <16 x float> splat (float              0x0))
  %".418" = fmul contract <16 x float> %".413", %".417"
  ; value[H, 2]: W_i x_t + U_i h_{t-1}
  %".420" = mul i64 %".358", 64
  %".421" = getelementptr inbounds float, ptr %".333", i64 %".420"
  %".422" = getelementptr inbounds float, ptr %".421", i64 32
  %".423" = load <16 x float>, ptr %".422", align 4
  ; i_pre_t = W_i x_t + U_i h_{t-1} + b_i
  %".425" = fadd contract <16 x float> %".423", %".23"
  ; i_t = σ(W_i x_t + U_i h_{t-1} + b_i)
  %".427" = fcmp ogt <16 x float> %".425", splat (float 0x4039000000000000)
  %".428" = select  <16 x i1> %".427", <16 x float> splat (float 0x4039000000000000), <16 x float> %".425"
  %".429" = fcmp olt <16 x float> %".428", splat (float 0xc056400000000000)
  %".430" = select  <16 x i1> %".429", <16 x float> splat (float 0xc056400000000000), <16 x float> %".428"
  %".431" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".430", <16 x float> splat (float 0xbff7154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".432" = fsub <16 x float> splat (float 0x4168000fe0000000), %".431"
  %".433" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".432", <16 x float> splat (float 0xbfe62e4000000000), <16 x float> %".430")
  %".434" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".432", <16 x float> splat (float 0xbeb7f7d1c0000000), <16 x float> %".433")
  %".435" = fmul <16 x float> %".434", %".434"
  %".436" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".434", <16 x float> splat (float 0x3fc5554ae0000000), <16 x float> splat (float 0xbfdfffffe0000000))
  %".437" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".434", <16 x float> splat (float 0x3f81228860000000), <16 x float> splat (float 0xbfa5556760000000))
  %".438" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbf56bebea0000000), <16 x float> %".435", <16 x float> %".437")
  %".439" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".438", <16 x float> %".435", <16 x float> %".436")
  %".440" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".439", <16 x float> %".435", <16 x float> %".434")
  %".441" = bitcast <16 x float> %".431" to <16 x i32>
  %".442" = shl <16 x i32> %".441", splat (i32 23)
  %".443" = bitcast <16 x i32> %".442" to <16 x float>
  %".444" = fsub <16 x float> splat (float 0x3ff0000000000000), %".440"
  %".445" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".443", <16 x float> %".444", <16 x float> splat (float 0x3ff0000000000000))
  %".446" = fdiv <16 x float> splat (float 0x3ff0000000000000), %".445"
  ; value[H, 3]: W_g x_t + U_g h_{t-1}
  %".448" = mul i64 %".358", 64
  %".449" = getelementptr inbounds float, ptr %".333", i64 %".448"
  %".450" = getelementptr inbounds float, ptr %".449", i64 48
  %".451" = load <16 x float>, ptr %".450", align 4
  ; g_pre_t = W_g x_t + U_g h_{t-1} + b_g
  %".453" = fadd contract <16 x float> %".451", %".18"
  ; g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
  %".455" = fcmp ogt <16 x float> %".453", splat (float 0x4024000000000000)
  %".456" = select  <16 x i1> %".455", <16 x float> splat (float 0x4024000000000000), <16 x float> %".453"
  %".457" = fcmp olt <16 x float> %".456", splat (float 0xc024000000000000)
  %".458" = select  <16 x i1> %".457", <16 x float> splat (float 0xc024000000000000), <16 x float> %".456"
  %".459" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".458", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".460" = fsub <16 x float> splat (float 0x4168000fe0000000), %".459"
  %".461" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".460", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".458")
  %".462" = fmul <16 x float> %".461", %".461"
  %".463" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".461", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".464" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".461", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".465" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".462", <16 x float> %".464")
  %".466" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".465", <16 x float> %".462", <16 x float> %".463")
  %".467" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".466", <16 x float> %".462", <16 x float> %".461")
  %".468" = bitcast <16 x float> %".459" to <16 x i32>
  %".469" = shl <16 x i32> %".468", splat (i32 23)
  %".470" = bitcast <16 x i32> %".469" to <16 x float>
  %".471" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".470", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".472" = fneg <16 x float> %".471"
  %".473" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".470", <16 x float> %".467", <16 x float> %".472")
  %".474" = fsub <16 x float> splat (float 0x3ff0000000000000), %".473"
  %".475" = fdiv <16 x float> %".473", %".474"
  %".476" = fmul contract <16 x float> %".446", %".475"
  ; c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
  %".478" = fadd contract <16 x float> %".418", %".476"
  %".479" = fcmp ogt <16 x float> %".478", splat (float 0x4024000000000000)
  %".480" = select  <16 x i1> %".479", <16 x float> splat (float 0x4024000000000000), <16 x float> %".478"
  %".481" = fcmp olt <16 x float> %".480", splat (float 0xc024000000000000)
  %".482" = select  <16 x i1> %".481", <16 x float> splat (float 0xc024000000000000), <16 x float> %".480"
  %".483" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".482", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".484" = fsub <16 x float> splat (float 0x4168000fe0000000), %".483"
  %".485" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".484", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".482")
  %".486" = fmul <16 x float> %".485", %".485"
  %".487" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".485", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".488" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".485", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".489" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".486", <16 x float> %".488")
  %".490" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".489", <16 x float> %".486", <16 x float> %".487")
  %".491" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".490", <16 x float> %".486", <16 x float> %".485")
  %".492" = bitcast <16 x float> %".483" to <16 x i32>
  %".493" = shl <16 x i32> %".492", splat (i32 23)
  %".494" = bitcast <16 x i32> %".493" to <16 x float>
  %".495" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".494", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".496" = fneg <16 x float> %".495"
  %".497" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".494", <16 x float> %".491", <16 x float> %".496")
  %".498" = fsub <16 x float> splat (float 0x3ff0000000000000), %".497"
  %".499" = fdiv <16 x float> %".497", %".498"
  ; h_t = o_t ⊙ tanh(c_t)
  %".501" = fmul contract <16 x float> %".385", %".499"
  ; output = h_t
  %".503" = icmp eq i64 %".256", 0
  br i1 %".503", label %"then.2", label %"endif.2"
done.1:
  br label %"endif"
then.2:
  %".505" = mul i64 %"j", 16
  %".506" = getelementptr inbounds i64, ptr %".262", i64 %".358"
  %".507" = load i64, ptr %".506"
  %".508" = mul i64 %".507", %".267"
  %".509" = getelementptr inbounds i64, ptr %".271", i64 %".358"
  %".510" = load i64, ptr %".509"
  %".511" = mul i64 %".510", %".276"
  %".512" = add i64 %".508", %".511"
  %".513" = mul i64 %"t", %".284"
  %".514" = add i64 %".512", %".513"
  %".515" = getelementptr inbounds float, ptr %".281", i64 %".514"
  %".516" = getelementptr inbounds float, ptr %".515", i64 %".505"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".501", ptr %".516", i32 4, <16 x i1> %".327")
  br label %"endif.2"
endif.2:
  ; state[h](t+1) = h_t
  %".520" = mul i64 %".358", %".346"
  %".521" = getelementptr inbounds float, ptr %".348", i64 %".520"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".501", ptr %".521", i32 4, <16 x i1> %".327")
  ; state[c](t+1) = c_t
  %".524" = mul i64 %".358", 16
  %".525" = getelementptr inbounds float, ptr %".355", i64 %".524"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".478", ptr %".525", i32 4, <16 x i1> %".327")
  ; value[H, 1] = f_t
  %".528" = select  <16 x i1> %".327", <16 x float> %".413", <16 x float> splat (float              0x0)
  %".529" = mul i64 %".358", 64
  %".530" = getelementptr inbounds float, ptr %".333", i64 %".529"
  %".531" = getelementptr inbounds float, ptr %".530", i64 16
  store <16 x float> %".528", ptr %".531", align 4
  ; value[H, 2] = i_t
  %".534" = select  <16 x i1> %".327", <16 x float> %".446", <16 x float> splat (float              0x0)
  %".535" = mul i64 %".358", 64
  %".536" = getelementptr inbounds float, ptr %".333", i64 %".535"
  %".537" = getelementptr inbounds float, ptr %".536", i64 32
  store <16 x float> %".534", ptr %".537", align 4
  ; value[H, 3] = g_t
  %".540" = select  <16 x i1> %".327", <16 x float> %".475", <16 x float> splat (float              0x0)
  %".541" = mul i64 %".358", 64
  %".542" = getelementptr inbounds float, ptr %".333", i64 %".541"
  %".543" = getelementptr inbounds float, ptr %".542", i64 48
  store <16 x float> %".540", ptr %".543", align 4
  ; value[H, 0] = o_t
  %".546" = select  <16 x i1> %".327", <16 x float> %".385", <16 x float> splat (float              0x0)
  %".547" = mul i64 %".358", 64
  %".548" = getelementptr inbounds float, ptr %".333", i64 %".547"
  store <16 x float> %".546", ptr %".548", align 4
  %".550" = add i64 %".358", 1
  %".551" = icmp slt i64 %".550", %"r1"
  br i1 %".551", label %"loop.1", label %"done.1"
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
  %".19" = getelementptr inbounds i64, ptr %"context", i64 13
  %".20" = load i64, ptr %".19"
  ; state h
  %".23" = getelementptr inbounds ptr, ptr %"context", i64 14
  %".24" = load ptr, ptr %".23"
  ; state h step
  %".26" = getelementptr inbounds i64, ptr %"context", i64 15
  %".27" = load i64, ptr %".26"
  ; state h start
  %".32" = getelementptr inbounds ptr, ptr %"context", i64 16
  %".33" = load ptr, ptr %".32"
  ; state h start row
  %".36" = getelementptr inbounds i64, ptr %"context", i64 17
  %".37" = load i64, ptr %".36"
  ; state h row
  %".39" = getelementptr inbounds i64, ptr %"context", i64 18
  %".40" = load i64, ptr %".39"
  ; history
  %".46" = getelementptr inbounds i64, ptr %"context", i64 11
  %".47" = load i64, ptr %".46"
  ; B
  %".52" = getelementptr inbounds i64, ptr %"context", i64 3
  %".53" = load i64, ptr %".52"
  ; state c
  %".56" = getelementptr inbounds ptr, ptr %"context", i64 12
  %".57" = load ptr, ptr %".56"
  ; initial h
  %".66" = getelementptr inbounds ptr, ptr %"context", i64 26
  %".67" = load ptr, ptr %".66"
  ; order
  %".69" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".70" = load ptr, ptr %".69"
  ; initial h batch
  %".74" = getelementptr inbounds i64, ptr %"context", i64 27
  %".75" = load i64, ptr %".74"
  ; initial c
  %".83" = getelementptr inbounds ptr, ptr %"context", i64 28
  %".84" = load ptr, ptr %".83"
  ; initial c batch
  %".88" = getelementptr inbounds i64, ptr %"context", i64 29
  %".89" = load i64, ptr %".88"
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
  %".44" = add i64 %"t", 1
  %".48" = mul i64 %"j", %".47"
  %".49" = urem i64 %".44", %".47"
  %".50" = add i64 %".48", %".49"
  %".54" = mul i64 %".50", %".53"
  %".58" = mul i64 %".54", 16
  %".59" = getelementptr inbounds float, ptr %".57", i64 %".58"
  %".60" = icmp slt i64 %"r0", %"r1"
  br i1 %".60", label %"loop", label %"done"
endif:
  ret void
else:
  %".106" = mul i64 %"j", 16
  %".107" = sub i64 %".14", %".106"
  %".108" = trunc i64 %".107" to i32
  %".109" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".108", i32 0
  %".110" = shufflevector <16 x i32> %".109", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".111" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".110"
  %".112" = add i64 %"t", 1
  %".113" = urem i64 %".112", %".20"
  %".114" = mul i64 %".113", %".27"
  %".115" = getelementptr inbounds float, ptr %".24", i64 %".114"
  %".116" = icmp eq i64 %".112", 0
  %".117" = select  i1 %".116", ptr %".33", ptr %".115"
  %".118" = select  i1 %".116", i64 %".37", i64 %".40"
  %".119" = mul i64 %"j", 16
  %".120" = getelementptr inbounds float, ptr %".117", i64 %".119"
  %".121" = add i64 %"t", 1
  %".122" = mul i64 %"j", %".47"
  %".123" = urem i64 %".121", %".47"
  %".124" = add i64 %".122", %".123"
  %".125" = mul i64 %".124", %".53"
  %".126" = mul i64 %".125", 16
  %".127" = getelementptr inbounds float, ptr %".57", i64 %".126"
  %".128" = icmp slt i64 %"r0", %"r1"
  br i1 %".128", label %"loop.1", label %"done.1"
loop:
  %".62" = phi  i64 [%"r0", %"then"], [%".102", %"loop"]
  ; initial[h]
  %".64" = mul i64 %"j", 16
  %".71" = getelementptr inbounds i64, ptr %".70", i64 %".62"
  %".72" = load i64, ptr %".71"
  %".76" = mul i64 %".72", %".75"
  %".77" = getelementptr inbounds float, ptr %".67", i64 %".76"
  %".78" = getelementptr inbounds float, ptr %".77", i64 %".64"
  %".79" = load <16 x float>, ptr %".78", align 4
  ; initial[c]
  %".81" = mul i64 %"j", 16
  %".85" = getelementptr inbounds i64, ptr %".70", i64 %".62"
  %".86" = load i64, ptr %".85"
  %".90" = mul i64 %".86", %".89"
  %".91" = getelementptr inbounds float, ptr %".84", i64 %".90"
  %".92" = getelementptr inbounds float, ptr %".91", i64 %".81"
  %".93" = load <16 x float>, ptr %".92", align 4
  ; state[h](t+1)
  %".95" = mul i64 %".62", %".41"
  %".96" = getelementptr inbounds float, ptr %".43", i64 %".95"
  store <16 x float> %".79", ptr %".96", align 4
  ; state[c](t+1)
  %".99" = mul i64 %".62", 16
  %".100" = getelementptr inbounds float, ptr %".59", i64 %".99"
  store <16 x float> %".93", ptr %".100", align 4
  %".102" = add i64 %".62", 1
  %".103" = icmp slt i64 %".102", %"r1"
  br i1 %".103", label %"loop", label %"done"
done:
  br label %"endif"
loop.1:
  %".130" = phi  i64 [%"r0", %"else"], [%".155", %"loop.1"]
  ; initial[h]
  %".132" = mul i64 %"j", 16
  %".133" = getelementptr inbounds i64, ptr %".70", i64 %".130"
  %".134" = load i64, ptr %".133"
  %".135" = mul i64 %".134", %".75"
  %".136" = getelementptr inbounds float, ptr %".67", i64 %".135"
  %".137" = getelementptr inbounds float, ptr %".136", i64 %".132"
  %".138" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".137", i32 4, <16 x i1> %".111", <16 x float> splat (float              0x0))
  ; initial[c]
  %".140" = mul i64 %"j", 16
  %".141" = getelementptr inbounds i64, ptr %".70", i64 %".130"
  %".142" = load i64, ptr %".141"
  %".143" = mul i64 %".142", %".89"
  %".144" = getelementptr inbounds float, ptr %".84", i64 %".143"
  %".145" = getelementptr inbounds float, ptr %".144", i64 %".140"
  %".146" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".145", i32 4, <16 x i1> %".111", <16 x float> splat (float              0x0))
  ; state[h](t+1)
  %".148" = mul i64 %".130", %".118"
  %".149" = getelementptr inbounds float, ptr %".120", i64 %".148"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".138", ptr %".149", i32 4, <16 x i1> %".111")
  ; state[c](t+1)
  %".152" = mul i64 %".130", 16
  %".153" = getelementptr inbounds float, ptr %".127", i64 %".152"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".146", ptr %".153", i32 4, <16 x i1> %".111")
  %".155" = add i64 %".130", 1
  %".156" = icmp slt i64 %".155", %"r1"
  br i1 %".156", label %"loop.1", label %"done.1"
done.1:
  br label %"endif"
}
