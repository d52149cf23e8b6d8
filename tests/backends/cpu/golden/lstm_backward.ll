define internal void @"back0_H"(ptr %"context", i64 %"thread", i64 %"t", i64 %"j", i64 %"q", i64 %"r0", i64 %"r1", i64 %"first") noinline nounwind
{
entry:
  %".10" = add i64 %"j", 1
  %".11" = mul i64 %".10", 16
  ; units H
  %".13" = getelementptr inbounds i64, ptr %"context", i64 6
  %".14" = load i64, ptr %".13"
  %".15" = icmp sle i64 %".11", %".14"
  ; blocks H
  %".18" = getelementptr inbounds i64, ptr %"context", i64 7
  %".19" = load i64, ptr %".18"
  ; total b_o
  %".24" = getelementptr inbounds ptr, ptr %"context", i64 8
  %".25" = load ptr, ptr %".24"
  ; total b_f
  %".31" = getelementptr inbounds ptr, ptr %"context", i64 9
  %".32" = load ptr, ptr %".31"
  ; total b_i
  %".38" = getelementptr inbounds ptr, ptr %"context", i64 10
  %".39" = load ptr, ptr %".38"
  ; total b_g
  %".45" = getelementptr inbounds ptr, ptr %"context", i64 11
  %".46" = load ptr, ptr %".45"
  ; value ring
  %".49" = getelementptr inbounds i64, ptr %"context", i64 12
  %".50" = load i64, ptr %".49"
  ; B
  %".53" = getelementptr inbounds i64, ptr %"context", i64 3
  %".54" = load i64, ptr %".53"
  ; value rows
  %".57" = getelementptr inbounds i64, ptr %"context", i64 13
  %".58" = load i64, ptr %".57"
  ; value H
  %".62" = getelementptr inbounds ptr, ptr %"context", i64 14
  %".63" = load ptr, ptr %".62"
  ; history
  %".68" = getelementptr inbounds i64, ptr %"context", i64 15
  %".69" = load i64, ptr %".68"
  ; state c
  %".75" = getelementptr inbounds ptr, ptr %"context", i64 16
  %".76" = load ptr, ptr %".75"
  ; scratch row
  %".80" = getelementptr inbounds i64, ptr %"context", i64 17
  %".81" = load i64, ptr %".80"
  ; product count
  %".83" = getelementptr inbounds i64, ptr %"context", i64 18
  %".84" = load i64, ptr %".83"
  ; products
  %".88" = getelementptr inbounds ptr, ptr %"context", i64 19
  %".89" = load ptr, ptr %".88"
  ; carry 0
  %".106" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".107" = load ptr, ptr %".106"
  ; adjoint ring
  %".111" = getelementptr inbounds i64, ptr %"context", i64 21
  %".112" = load i64, ptr %".111"
  ; adjoint rows
  %".116" = getelementptr inbounds i64, ptr %"context", i64 22
  %".117" = load i64, ptr %".116"
  ; adjoint H
  %".121" = getelementptr inbounds ptr, ptr %"context", i64 23
  %".122" = load ptr, ptr %".121"
  ; order
  %".139" = getelementptr inbounds ptr, ptr %"context", i64 24
  %".140" = load ptr, ptr %".139"
  ; given output batch
  %".144" = getelementptr inbounds i64, ptr %"context", i64 25
  %".145" = load i64, ptr %".144"
  ; first
  %".148" = getelementptr inbounds ptr, ptr %"context", i64 26
  %".149" = load ptr, ptr %".148"
  ; given output time
  %".153" = getelementptr inbounds i64, ptr %"context", i64 27
  %".154" = load i64, ptr %".153"
  ; given output
  %".158" = getelementptr inbounds ptr, ptr %"context", i64 28
  %".159" = load ptr, ptr %".158"
  ; given output step
  %".161" = getelementptr inbounds i64, ptr %"context", i64 29
  %".162" = load i64, ptr %".161"
  br i1 %".15", label %"then", label %"else"
then:
  %".20" = mul i64 %"thread", %".19"
  %".21" = add i64 %".20", %"j"
  %".22" = mul i64 %".21", 16
  %".26" = getelementptr inbounds float, ptr %".25", i64 %".22"
  %".27" = mul i64 %"thread", %".19"
  %".28" = add i64 %".27", %"j"
  %".29" = mul i64 %".28", 16
  %".33" = getelementptr inbounds float, ptr %".32", i64 %".29"
  %".34" = mul i64 %"thread", %".19"
  %".35" = add i64 %".34", %"j"
  %".36" = mul i64 %".35", 16
  %".40" = getelementptr inbounds float, ptr %".39", i64 %".36"
  %".41" = mul i64 %"thread", %".19"
  %".42" = add i64 %".41", %"j"
  %".43" = mul i64 %".42", 16
  %".47" = getelementptr inbounds float, ptr %".46", i64 %".43"
  %".51" = urem i64 %"t", %".50"
  %".55" = mul i64 %".51", %".54"
  %".59" = mul i64 %"j", %".58"
  %".60" = add i64 %".59", %".55"
  %".64" = mul i64 %".60", 64
  %".65" = getelementptr inbounds float, ptr %".63", i64 %".64"
  %".66" = add i64 %"t", 1
  %".70" = mul i64 %"j", %".69"
  %".71" = urem i64 %".66", %".69"
  %".72" = add i64 %".70", %".71"
  %".73" = mul i64 %".72", %".54"
  %".77" = mul i64 %".73", 16
  %".78" = getelementptr inbounds float, ptr %".76", i64 %".77"
  %".85" = mul i64 %"thread", %".84"
  %".86" = mul i64 %".85", %".54"
  %".90" = mul i64 %".86", %".81"
  %".91" = getelementptr inbounds float, ptr %".89", i64 %".90"
  %".92" = mul i64 %"q", 16
  %".93" = getelementptr inbounds float, ptr %".91", i64 %".92"
  %".94" = mul i64 %"j", %".69"
  %".95" = urem i64 %"t", %".69"
  %".96" = add i64 %".94", %".95"
  %".97" = mul i64 %".96", %".54"
  %".98" = mul i64 %".97", 16
  %".99" = getelementptr inbounds float, ptr %".76", i64 %".98"
  %".100" = add i64 %"t", 1
  %".101" = and i64 %".100", 1
  %".102" = mul i64 %".101", %".19"
  %".103" = add i64 %".102", %"j"
  %".104" = mul i64 %".103", %".54"
  %".108" = mul i64 %".104", 16
  %".109" = getelementptr inbounds float, ptr %".107", i64 %".108"
  %".113" = urem i64 %"t", %".112"
  %".114" = mul i64 %".113", %".54"
  %".118" = mul i64 %"j", %".117"
  %".119" = add i64 %".118", %".114"
  %".123" = mul i64 %".119", 64
  %".124" = getelementptr inbounds float, ptr %".122", i64 %".123"
  %".125" = load <16 x float>, ptr %".26", align 4
  %".126" = load <16 x float>, ptr %".33", align 4
  %".127" = load <16 x float>, ptr %".40", align 4
  %".128" = load <16 x float>, ptr %".47", align 4
  %".129" = icmp slt i64 %"r0", %"r1"
  br i1 %".129", label %"loop", label %"done"
endif:
  ret void
else:
  %".307" = mul i64 %"j", 16
  %".308" = sub i64 %".14", %".307"
  %".309" = trunc i64 %".308" to i32
  %".310" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".309", i32 0
  %".311" = shufflevector <16 x i32> %".310", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".312" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".311"
  %".313" = mul i64 %"thread", %".19"
  %".314" = add i64 %".313", %"j"
  %".315" = mul i64 %".314", 16
  %".316" = getelementptr inbounds float, ptr %".25", i64 %".315"
  %".317" = mul i64 %"thread", %".19"
  %".318" = add i64 %".317", %"j"
  %".319" = mul i64 %".318", 16
  %".320" = getelementptr inbounds float, ptr %".32", i64 %".319"
  %".321" = mul i64 %"thread", %".19"
  %".322" = add i64 %".321", %"j"
  %".323" = mul i64 %".322", 16
  %".324" = getelementptr inbounds float, ptr %".39", i64 %".323"
  %".325" = mul i64 %"thread", %".19"
  %".326" = add i64 %".325", %"j"
  %".327" = mul i64 %".326", 16
  %".328" = getelementptr inbounds float, ptr %".46", i64 %".327"
  %".329" = urem i64 %"t", %".50"
  %".330" = mul i64 %".329", %".54"
  %".331" = mul i64 %"j", %".58"
  %".332" = add i64 %".331", %".330"
  %".333" = mul i64 %".332", 64
  %".334" = getelementptr inbounds float, ptr %".63", i64 %".333"
  %".335" = add i64 %"t", 1
  %".336" = mul i64 %"j", %".69"
  %".337" = urem i64 %".335", %".69"
  %".338" = add i64 %".336", %".337"
  %".339" = mul i64 %".338", %".54"
  %".340" = mul i64 %".339", 16
  %".341" = getelementptr inbounds float, ptr %".76", i64 %".340"
  %".342" = mul i64 %"thread", %".84"
  %".343" = mul i64 %".342", %".54"
  %".344" = mul i64 %".343", %".81"
  %".345" = getelementptr inbounds float, ptr %".89", i64 %".344"
  %".346" = mul i64 %"q", 16
  %".347" = getelementptr inbounds float, ptr %".345", i64 %".346"
  %".348" = mul i64 %"j", %".69"
  %".349" = urem i64 %"t", %".69"
  %".350" = add i64 %".348", %".349"
  %".351" = mul i64 %".350", %".54"
  %".352" = mul i64 %".351", 16
  %".353" = getelementptr inbounds float, ptr %".76", i64 %".352"
  %".354" = add i64 %"t", 1
  %".355" = and i64 %".354", 1
  %".356" = mul i64 %".355", %".19"
  %".357" = add i64 %".356", %"j"
  %".358" = mul i64 %".357", %".54"
  %".359" = mul i64 %".358", 16
  %".360" = getelementptr inbounds float, ptr %".107", i64 %".359"
  %".361" = urem i64 %"t", %".112"
  %".362" = mul i64 %".361", %".54"
  %".363" = mul i64 %"j", %".117"
  %".364" = add i64 %".363", %".362"
  %".365" = mul i64 %".364", 64
  %".366" = getelementptr inbounds float, ptr %".122", i64 %".365"
  %".367" = load <16 x float>, ptr %".316", align 4
  %".368" = load <16 x float>, ptr %".320", align 4
  %".369" = load <16 x float>, ptr %".324", align 4
  %".370" = load <16 x float>, ptr %".328", align 4
  %".371" = icmp slt i64 %"r0", %"r1"
  br i1 %".371", label %"loop.1", label %"done.1"
loop:
  %".131" = phi  i64 [%"r0", %"then"], [%".291", %"loop"]
  %".132" = phi  <16 x float> [%".125", %"then"], [%".258", %"loop"]
  %".133" = phi  <16 x float> [%".126", %"then"], [%".259", %"loop"]
  %".134" = phi  <16 x float> [%".127", %"then"], [%".260", %"loop"]
  %".135" = phi  <16 x float> [%".128", %"then"], [%".261", %"loop"]
  ; given[output]
  %".137" = mul i64 %"j", 16
  %".141" = getelementptr inbounds i64, ptr %".140", i64 %".131"
  %".142" = load i64, ptr %".141"
  %".146" = mul i64 %".142", %".145"
  %".150" = getelementptr inbounds i64, ptr %".149", i64 %".131"
  %".151" = load i64, ptr %".150"
  %".155" = mul i64 %".151", %".154"
  %".156" = add i64 %".146", %".155"
  %".163" = mul i64 %"t", %".162"
  %".164" = add i64 %".156", %".163"
  %".165" = getelementptr inbounds float, ptr %".159", i64 %".164"
  %".166" = getelementptr inbounds float, ptr %".165", i64 %".137"
  %".167" = load <16 x float>, ptr %".166", align 4
  ; product[0]
  %".169" = mul i64 %".131", %".81"
  %".170" = getelementptr inbounds float, ptr %".93", i64 %".169"
  %".171" = load <16 x float>, ptr %".170", align 4
  ; ∂h_t
  %".173" = fadd contract <16 x float> %".167", %".171"
  ; state[c](t+1): c_t
  %".175" = mul i64 %".131", 16
  %".176" = getelementptr inbounds float, ptr %".78", i64 %".175"
  %".177" = load <16 x float>, ptr %".176", align 4
  %".178" = fcmp ogt <16 x float> %".177", splat (float 0x4024000000000000)
  %".179" = select  <16 x i1> %".178", <16 x float> splat (float 0x4024000000000000), <16 x float> %".177"
  %".180" = fcmp olt <16 x float> %".179", splat (float 0xc024000000000000)
  %".181" = select  <16 x i1> %".180", <16 x float> splat (float 0xc024000000000000), <16 x float> %".179"
  %".182" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".181", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".183" = fsub <16 x float> splat (float 0x4168000fe0000000), %".182"
  %".184" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".183", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".181")
  %".185" = fmul <16 x float> %".184", %".184"
  %".186" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".184", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".187" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".184", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".188" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".185", <16 x float> %".187")
  %".189" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".188", <16 x float> %".185", <16 x float> %".186")
  %".190" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".189", <16 x float> %".185", <16 x float> %".184")
  %".191" = bitcast <16 x float> %".182" to <16 x i32>
  %".192" = shl <16 x i32> %".191", splat (i32 23)
  %".193" = bitcast <16 x i32> %".192" to <16 x float>
  %".194" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".193", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".195" = fneg <16 x float> %".194"
  %".196" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".193", <16 x float> %".190", <16 x float> %".195")
  %".197" = fsub <16 x float> splat (float 0x3ff0000000000000), %".196"
  %".198" = fdiv <16 x float> %".196", %".197"
  ; ∂o_t
  %".200" = fmul contract <16 x float> %".173", %".198"
  ; value[H, 0]: o_t
  %".202" = mul i64 %".131", 64
  %".203" = getelementptr inbounds float, ptr %".65", i64 %".202"
  %".204" = load <16 x float>, ptr %".203", align 4
  %".205" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".204"
  %".206" = fmul contract <16 x float> %".200", %".205"
  ; ∂o_pre_t
  %".208" = fmul contract <16 x float> %".206", %".204"
  ; carry[0]
  %".210" = mul i64 %".131", 16
  %".211" = getelementptr inbounds float, ptr %".109", i64 %".210"
  %".212" = load <16 x float>, ptr %".211", align 4
  %".213" = fmul contract <16 x float> %".173", %".204"
  %".214" = fmul contract <16 x float> %".198", %".198"
  %".215" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".214"
  %".216" = fmul contract <16 x float> %".213", %".215"
  ; ∂c_t
  %".218" = fadd contract <16 x float> %".212", %".216"
  ; state[c]: c_{t-1}
  %".220" = mul i64 %".131", 16
  %".221" = getelementptr inbounds float, ptr %".99", i64 %".220"
  %".222" = load <16 x float>, ptr %".221", align 4
  ; ∂f_t
  %".224" = fmul contract <16 x float> %".218", %".222"
  ; value[H, 1]: f_t
  %".226" = mul i64 %".131", 64
  %".227" = getelementptr inbounds float, ptr %".65", i64 %".226"
  %".228" = getelementptr inbounds float, ptr %".227", i64 16
  %".229" = load <16 x float>, ptr %".228", align 4
  %".230" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".229"
  %".231" = fmul contract <16 x float> %".224", %".230"
  ; ∂f_pre_t
  %".233" = fmul contract <16 x float> %".231", %".229"
  ; value[H, 3]: g_t
  %".235" = mul i64 %".131", 64
  %".236" = getelementptr inbounds float, ptr %".65", i64 %".235"
  %".237" = getelementptr inbounds float, ptr %".236", i64 48
  %".238" = load <16 x float>, ptr %".237", align 4
  ; ∂i_t
  %".240" = fmul contract <16 x float> %".218", %".238"
  ; value[H, 2]: i_t
  %".242" = mul i64 %".131", 64
  %".243" = getelementptr inbounds float, ptr %".65", i64 %".242"
  %".244" = getelementptr inbounds float, ptr %".243", i64 32
  %".245" = load <16 x float>, ptr %".244", align 4
  %".246" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".245"
  %".247" = fmul contract <16 x float> %".240", %".246"
  ; ∂i_pre_t
  %".249" = fmul contract <16 x float> %".247", %".245"
  ; ∂g_t
  %".251" = fmul contract <16 x float> %".218", %".245"
  %".252" = fmul contract <16 x float> %".238", %".238"
  %".253" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".252"
  ; ∂g_pre_t
  %".255" = fmul contract <16 x float> %".251", %".253"
  ; ∂c_{t-1}
  %".257" = fmul contract <16 x float> %".218", %".229"
  %".258" = fadd <16 x float> %".132", %".208"
  %".259" = fadd <16 x float> %".133", %".233"
  %".260" = fadd <16 x float> %".134", %".249"
  %".261" = fadd <16 x float> %".135", %".255"
  ; adjoint[H, 0] = ∂o_pre_t
  %".263" = mul i64 %".131", 64
  %".264" = getelementptr inbounds float, ptr %".124", i64 %".263"
  store <16 x float> %".208", ptr %".264", align 4
  ; adjoint[H, 1] = ∂f_pre_t
  %".267" = mul i64 %".131", 64
  %".268" = getelementptr inbounds float, ptr %".124", i64 %".267"
  %".269" = getelementptr inbounds float, ptr %".268", i64 16
  store <16 x float> %".233", ptr %".269", align 4
  ; adjoint[H, 2] = ∂i_pre_t
  %".272" = mul i64 %".131", 64
  %".273" = getelementptr inbounds float, ptr %".124", i64 %".272"
  %".274" = getelementptr inbounds float, ptr %".273", i64 32
  store <16 x float> %".249", ptr %".274", align 4
  ; adjoint[H, 3] = ∂g_pre_t
  %".277" = mul i64 %".131", 64
  %".278" = getelementptr inbounds float, ptr %".124", i64 %".277"
  %".279" = getelementptr inbounds float, ptr %".278", i64 48
  store <16 x float> %".255", ptr %".279", align 4
  ; carry[0] = ∂c_{t-1}
  %".282" = and i64 %"t", 1
  %".283" = mul i64 %".282", %".19"
  %".284" = add i64 %".283", %"j"
  %".285" = mul i64 %".284", %".54"
  %".286" = mul i64 %".285", 16
  %".287" = getelementptr inbounds float, ptr %".107", i64 %".286"
  %".288" = mul i64 %".131", 16
  %".289" = getelementptr inbounds float, ptr %".287", i64 %".288"
  store <16 x float> %".257", ptr %".289", align 4
  %".291" = add i64 %".131", 1
  %".292" = icmp slt i64 %".291", %"r1"
  br i1 %".292", label %"loop", label %"done"
done:
  %".294" = phi  <16 x float> [%".125", %"then"], [%".258", %"loop"]
  %".295" = phi  <16 x float> [%".126", %"then"], [%".259", %"loop"]
  %".296" = phi  <16 x float> [%".127", %"then"], [%".260", %"loop"]
  %".297" = phi  <16 x float> [%".128", %"then"], [%".261", %"loop"]
  ; total[b_o] = ∂o_pre_t
  store <16 x float> %".294", ptr %".26", align 4
  ; total[b_f] = ∂f_pre_t
  store <16 x float> %".295", ptr %".33", align 4
  ; total[b_i] = ∂i_pre_t
  store <16 x float> %".296", ptr %".40", align 4
  ; total[b_g] = ∂g_pre_t
  store <16 x float> %".297", ptr %".47", align 4
  br label %"endif"
loop.1:
  %".373" = phi  i64 [%"r0", %"else"], [%".519", %"loop.1"]
  %".374" = phi  <16 x float> [%".367", %"else"], [%".482", %"loop.1"]
  %".375" = phi  <16 x float> [%".368", %"else"], [%".483", %"loop.1"]
  %".376" = phi  <16 x float> [%".369", %"else"], [%".484", %"loop.1"]
  %".377" = phi  <16 x float> [%".370", %"else"], [%".485", %"loop.1"]
  ; given[output]
  %".379" = mul i64 %"j", 16
  %".380" = getelementptr inbounds i64, ptr %".140", i64 %".373"
  %".381" = load i64, ptr %".380"
  %".382" = mul i64 %".381", %".145"
  %".383" = getelementptr inbounds i64, ptr %".149", i64 %".373"
  %".384" = load i64, ptr %".383"
  %".385" = mul i64 %".384", %".154"
  %".386" = add i64 %".382", %".385"
  %".387" = mul i64 %"t", %".162"
  %".388" = add i64 %".386", %".387"
  %".389" = getelementptr inbounds float, ptr %".159", i64 %".388"
  %".390" = getelementptr inbounds float, ptr %".389", i64 %".379"
  %".391" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".390", i32 4, <16 x i1> %".312", <16 x float> splat (float              0x0))
  ; product[0]
  %".393" = mul i64 %".373", %".81"
  %".394" = getelementptr inbounds float, ptr %".347", i64 %".393"
  %".395" = load <16 x float>, ptr %".394", align 4
  ; ∂h_t
  %".397" = fadd contract <16 x float> %".391", %".395"
  ; state[c](t+1): c_t
  %".399" = mul i64 %".373", 16
  %".400" = getelementptr inbounds float, ptr %".341", i64 %".399"
  %".401" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".400", i32 4, <16 x i1> %".312", <16 x float> splat (float              0x0))
  %".402" = fcmp ogt <16 x float> %".401", splat (float 0x4024000000000000)
  %".403" = select  <16 x i1> %".402", <16 x float> splat (float 0x4024000000000000), <16 x float> %".401"
  %".404" = fcmp olt <16 x float> %".403", splat (float 0xc024000000000000)
  %".405" = select  <16 x i1> %".404", <16 x float> splat (float 0xc024000000000000), <16 x float> %".403"
  %".406" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".405", <16 x float> splat (float 0xc007154760000000), <16 x float> splat (float 0x4168000fe0000000))
  %".407" = fsub <16 x float> splat (float 0x4168000fe0000000), %".406"
  %".408" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".407", <16 x float> splat (float 0xbfd62e4300000000), <16 x float> %".405")
  %".409" = fmul <16 x float> %".408", %".408"
  %".410" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".408", <16 x float> splat (float 0x3fe5554ae0000000), <16 x float> splat (float 0xbfefffffe0000000))
  %".411" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".408", <16 x float> splat (float 0x3fc1228860000000), <16 x float> splat (float 0xbfd5556760000000))
  %".412" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> splat (float 0xbfa6bebea0000000), <16 x float> %".409", <16 x float> %".411")
  %".413" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".412", <16 x float> %".409", <16 x float> %".410")
  %".414" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".413", <16 x float> %".409", <16 x float> %".408")
  %".415" = bitcast <16 x float> %".406" to <16 x i32>
  %".416" = shl <16 x i32> %".415", splat (i32 23)
  %".417" = bitcast <16 x i32> %".416" to <16 x float>
  %".418" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".417", <16 x float> splat (float 0x3fe0000000000000), <16 x float> splat (float 0xbfe0000000000000))
  %".419" = fneg <16 x float> %".418"
  %".420" = call <16 x float> @"llvm.fmuladd.v16f32"(<16 x float> %".417", <16 x float> %".414", <16 x float> %".419")
  %".421" = fsub <16 x float> splat (float 0x3ff0000000000000), %".420"
  %".422" = fdiv <16 x float> %".420", %".421"
  ; ∂o_t
  %".424" = fmul contract <16 x float> %".397", %".422"
  ; value[H, 0]: o_t
  %".426" = mul i64 %".373", 64
  %".427" = getelementptr inbounds float, ptr %".334", i64 %".426"
  %".428" = load <16 x float>, ptr %".427", align 4
  %".429" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".428"
  %".430" = fmul contract <16 x float> %".424", %".429"
  ; ∂o_pre_t
  %".432" = fmul contract <16 x float> %".430", %".428"
  ; carry[0]
  %".434" = mul i64 %".373", 16
  %".435" = getelementptr inbounds float, ptr %".360", i64 %".434"
  %".436" = load <16 x float>, ptr %".435", align 4
  %".437" = fmul contract <16 x float> %".397", %".428"
  %".438" = fmul contract <16 x float> %".422", %".422"
  %".439" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".438"
  %".440" = fmul contract <16 x float> %".437", %".439"
  ; ∂c_t
  %".442" = fadd contract <16 x float> %".436", %".440"
  ; state[c]: c_{t-1}
  %".444" = mul i64 %".373", 16
  %".445" = getelementptr inbounds float, ptr %".353", i64 %".444"
  %".446" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".445", i32 4, <16 x i1> %".312", <16 x float> splat (float              0x0))
  ; ∂f_t
  %".448" = fmul contract <16 x float> %".442", %".446"
  ; value[H, 1]: f_t
  %".450" = mul i64 %".373", 64
  %".451" = getelementptr inbounds float, ptr %".334", i64 %".450"
  %".452" = getelementptr inbounds float, ptr %".451", i64 16
  %".453" = load <16 x float>, ptr %".452", align 4
  %".454" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".453"
  %".455" = fmul contract <16 x float> %".448", %".454"
  ; ∂f_pre_t
  %".457" = fmul contract <16 x float> %".455", %".453"
  ; value[H, 3]: g_t
  %".459" = mul i64 %".373", 64
  %".460" = getelementptr inbounds float, ptr %".334", i64 %".459"
  %".461" = getelementptr inbounds float, ptr %".460", i64 48
  %".462" = load <16 x float>, ptr %".461", align 4
  ; ∂i_t
  %".464" = fmul contract <16 x float> %".442", %".462"
  ; value[H, 2]: i_t
  %".466" = mul i64 %".373", 64
  %".467" = getelementptr inbounds float, ptr %".334", i64 %".466"
  %".468" = getelementptr inbounds float, ptr %".467", i64 32
  %".469" = load <16 x float>, ptr %".468", align 4
  %".470" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".469"
  %".471" = fmul contract <16 x float> %".464", %".470"
  ; ∂i_pre_t
  %".473" = fmul contract <16 x float> %".471", %".469"
  ; ∂g_t
  %".475" = fmul contract <16 x float> %".442", %".469"
  %".476" = fmul contract <16 x float> %".462", %".462"
  %".477" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".476"
  ; ∂g_pre_t
  %".479" = fmul contract <16 x float> %".475", %".477"
  ; ∂c_{t-1}
  %".481" = fmul contract <16 x float> %".442", %".453"
  %".482" = fadd <16 x float> %".374", %".432"
  %".483" = fadd <16 x float> %".375", %".457"
  %".484" = fadd <16 x float> %".376", %".473"
  %".485" = fadd <16 x float> %".377", %".479"
  ; adjoint[H, 0] = ∂o_pre_t
  %".487" = select  <16 x i1> %".312", <16 x float> %".432", <16 x float> splat (float              0x0)
  %".488" = mul i64 %".373", 64
  %".489" = getelementptr inbounds float, ptr %".366", i64 %".488"
  store <16 x float> %".487", ptr %".489", align 4
  ; adjoint[H, 1] = ∂f_pre_t
  %".492" = select  <16 x i1> %".312", <16 x float> %".457", <16 x float> splat (float              0x0)
  %".493" = mul i64 %".373", 64
  %".494" = getelementptr inbounds float, ptr %".366", i64 %".493"
  %".495" = getelementptr inbounds float, ptr %".494", i64 16
  store <16 x float> %".492", ptr %".495", align 4
  ; adjoint[H, 2] = ∂i_pre_t
  %".498" = select  <16 x i1> %".312", <16 x float> %".473", <16 x float> splat (float              0x0)
  %".499" = mul i64 %".373", 64
  %".500" = getelementptr inbounds float, ptr %".366", i64 %".499"
  %".501" = getelementptr inbounds float, ptr %".500", i64 32
  store <16 x float> %".498", ptr %".501", align 4
  ; adjoint[H, 3] = ∂g_pre_t
  %".504" = select  <16 x i1> %".312", <16 x float> %".479", <16 x float> splat (float              0x0)
  %".505" = mul i64 %".373", 64
  %".506" = getelementptr inbounds float, ptr %".366", i64 %".505"
  %".507" = getelementptr inbounds float, ptr %".506", i64 48
  store <16 x float> %".504", ptr %".507", align 4
  ; carry[0] = ∂c_{t-1}
  %".510" = and i64 %"t", 1
  %".511" = mul i64 %".510", %".19"
  %".512" = add i64 %".511", %"j"
  %".513" = mul i64 %".512", %".54"
  %".514" = mul i64 %".513", 16
  %".515" = getelementptr inbounds float, ptr %".107", i64 %".514"
  %".516" = mul i64 %".373", 16
  %".517" = getelementptr inbounds float, ptr %".515", i64 %".516"
  store <16 x float> %".481", ptr %".517", align 4
  %".519" = add i64 %".373", 1
  %".520" = icmp slt i64 %".519", %"r1"
  br i1 %".520", label %"loop.1", label %"done.1"
done.1:
  %".522" = phi  <16 x float> [%".367", %"else"], [%".482", %"loop.1"]
  %".523" = phi  <16 x float> [%".368", %"else"], [%".483", %"loop.1"]
  %".524" = phi  <16 x float> [%".369", %"else"], [%".484", %"loop.1"]
  %".525" = phi  <16 x float> [%".370", %"else"], [%".485", %"loop.1"]
  ; total[b_o] = ∂o_pre_t
  store <16 x float> %".522", ptr %".316", align 4
  ; total[b_f] = ∂f_pre_t
  store <16 x float> %".523", ptr %".320", align 4
  ; total[b_i] = ∂i_pre_t
  store <16 x float> %".524", ptr %".324", align 4
  ; total[b_g] = ∂g_pre_t
  store <16 x float> %".525", ptr %".328", align 4
  br label %"endif"
}

define internal void @"epilogue_H"(ptr %"context", i64 %"thread", i64 %"t", i64 %"j", i64 %"q", i64 %"r0", i64 %"r1", i64 %"first") noinline nounwind
{
entry:
  %".10" = add i64 %"j", 1
  %".11" = mul i64 %".10", 16
  ; units H
  %".13" = getelementptr inbounds i64, ptr %"context", i64 6
  %".14" = load i64, ptr %".13"
  %".15" = icmp sle i64 %".11", %".14"
  ; scratch row
  %".18" = getelementptr inbounds i64, ptr %"context", i64 17
  %".19" = load i64, ptr %".18"
  ; product count
  %".21" = getelementptr inbounds i64, ptr %"context", i64 18
  %".22" = load i64, ptr %".21"
  ; B
  %".25" = getelementptr inbounds i64, ptr %"context", i64 3
  %".26" = load i64, ptr %".25"
  ; products
  %".29" = getelementptr inbounds ptr, ptr %"context", i64 19
  %".30" = load ptr, ptr %".29"
  ; blocks H
  %".38" = getelementptr inbounds i64, ptr %"context", i64 7
  %".39" = load i64, ptr %".38"
  ; carry 0
  %".44" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".45" = load ptr, ptr %".44"
  ; initial_adjoint h
  %".62" = getelementptr inbounds ptr, ptr %"context", i64 30
  %".63" = load ptr, ptr %".62"
  ; order
  %".65" = getelementptr inbounds ptr, ptr %"context", i64 24
  %".66" = load ptr, ptr %".65"
  ; initial_adjoint h batch
  %".70" = getelementptr inbounds i64, ptr %"context", i64 31
  %".71" = load i64, ptr %".70"
  ; initial_adjoint c
  %".79" = getelementptr inbounds ptr, ptr %"context", i64 32
  %".80" = load ptr, ptr %".79"
  ; initial_adjoint c batch
  %".84" = getelementptr inbounds i64, ptr %"context", i64 33
  %".85" = load i64, ptr %".84"
  br i1 %".15", label %"then", label %"else"
then:
  %".23" = mul i64 %"thread", %".22"
  %".27" = mul i64 %".23", %".26"
  %".31" = mul i64 %".27", %".19"
  %".32" = getelementptr inbounds float, ptr %".30", i64 %".31"
  %".33" = mul i64 %"q", 16
  %".34" = getelementptr inbounds float, ptr %".32", i64 %".33"
  %".35" = add i64 %"t", 1
  %".36" = and i64 %".35", 1
  %".40" = mul i64 %".36", %".39"
  %".41" = add i64 %".40", %"j"
  %".42" = mul i64 %".41", %".26"
  %".46" = mul i64 %".42", 16
  %".47" = getelementptr inbounds float, ptr %".45", i64 %".46"
  %".48" = icmp slt i64 %"r0", %"r1"
  br i1 %".48", label %"loop", label %"done"
endif:
  ret void
else:
  %".94" = mul i64 %"j", 16
  %".95" = sub i64 %".14", %".94"
  %".96" = trunc i64 %".95" to i32
  %".97" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".96", i32 0
  %".98" = shufflevector <16 x i32> %".97", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".99" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".98"
  %".100" = mul i64 %"thread", %".22"
  %".101" = mul i64 %".100", %".26"
  %".102" = mul i64 %".101", %".19"
  %".103" = getelementptr inbounds float, ptr %".30", i64 %".102"
  %".104" = mul i64 %"q", 16
  %".105" = getelementptr inbounds float, ptr %".103", i64 %".104"
  %".106" = add i64 %"t", 1
  %".107" = and i64 %".106", 1
  %".108" = mul i64 %".107", %".39"
  %".109" = add i64 %".108", %"j"
  %".110" = mul i64 %".109", %".26"
  %".111" = mul i64 %".110", 16
  %".112" = getelementptr inbounds float, ptr %".45", i64 %".111"
  %".113" = icmp slt i64 %"r0", %"r1"
  br i1 %".113", label %"loop.1", label %"done.1"
loop:
  %".50" = phi  i64 [%"r0", %"then"], [%".90", %"loop"]
  ; product[0]
  %".52" = mul i64 %".50", %".19"
  %".53" = getelementptr inbounds float, ptr %".34", i64 %".52"
  %".54" = load <16 x float>, ptr %".53", align 4
  ; carry[0]
  %".56" = mul i64 %".50", 16
  %".57" = getelementptr inbounds float, ptr %".47", i64 %".56"
  %".58" = load <16 x float>, ptr %".57", align 4
  ; initial_adjoint[h]
  %".60" = mul i64 %"j", 16
  %".67" = getelementptr inbounds i64, ptr %".66", i64 %".50"
  %".68" = load i64, ptr %".67"
  %".72" = mul i64 %".68", %".71"
  %".73" = getelementptr inbounds float, ptr %".63", i64 %".72"
  %".74" = getelementptr inbounds float, ptr %".73", i64 %".60"
  store <16 x float> %".54", ptr %".74", align 4
  ; initial_adjoint[c]
  %".77" = mul i64 %"j", 16
  %".81" = getelementptr inbounds i64, ptr %".66", i64 %".50"
  %".82" = load i64, ptr %".81"
  %".86" = mul i64 %".82", %".85"
  %".87" = getelementptr inbounds float, ptr %".80", i64 %".86"
  %".88" = getelementptr inbounds float, ptr %".87", i64 %".77"
  store <16 x float> %".58", ptr %".88", align 4
  %".90" = add i64 %".50", 1
  %".91" = icmp slt i64 %".90", %"r1"
  br i1 %".91", label %"loop", label %"done"
done:
  br label %"endif"
loop.1:
  %".115" = phi  i64 [%"r0", %"else"], [%".140", %"loop.1"]
  ; product[0]
  %".117" = mul i64 %".115", %".19"
  %".118" = getelementptr inbounds float, ptr %".105", i64 %".117"
  %".119" = load <16 x float>, ptr %".118", align 4
  ; carry[0]
  %".121" = mul i64 %".115", 16
  %".122" = getelementptr inbounds float, ptr %".112", i64 %".121"
  %".123" = load <16 x float>, ptr %".122", align 4
  ; initial_adjoint[h]
  %".125" = mul i64 %"j", 16
  %".126" = getelementptr inbounds i64, ptr %".66", i64 %".115"
  %".127" = load i64, ptr %".126"
  %".128" = mul i64 %".127", %".71"
  %".129" = getelementptr inbounds float, ptr %".63", i64 %".128"
  %".130" = getelementptr inbounds float, ptr %".129", i64 %".125"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".119", ptr %".130", i32 4, <16 x i1> %".99")
  ; initial_adjoint[c]
  %".133" = mul i64 %"j", 16
  %".134" = getelementptr inbounds i64, ptr %".66", i64 %".115"
  %".135" = load i64, ptr %".134"
  %".136" = mul i64 %".135", %".85"
  %".137" = getelementptr inbounds float, ptr %".80", i64 %".136"
  %".138" = getelementptr inbounds float, ptr %".137", i64 %".133"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".123", ptr %".138", i32 4, <16 x i1> %".99")
  %".140" = add i64 %".115", 1
  %".141" = icmp slt i64 %".140", %"r1"
  br i1 %".141", label %"loop.1", label %"done.1"
done.1:
  br label %"endif"
}
