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
  ; total b_z
  %".24" = getelementptr inbounds ptr, ptr %"context", i64 8
  %".25" = load ptr, ptr %".24"
  ; total b_n_x
  %".31" = getelementptr inbounds ptr, ptr %"context", i64 9
  %".32" = load ptr, ptr %".31"
  ; total b_r
  %".38" = getelementptr inbounds ptr, ptr %"context", i64 10
  %".39" = load ptr, ptr %".38"
  ; total b_n_h
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
  ; carry 0
  %".72" = getelementptr inbounds ptr, ptr %"context", i64 15
  %".73" = load ptr, ptr %".72"
  ; scratch row
  %".77" = getelementptr inbounds i64, ptr %"context", i64 16
  %".78" = load i64, ptr %".77"
  ; product count
  %".80" = getelementptr inbounds i64, ptr %"context", i64 17
  %".81" = load i64, ptr %".80"
  ; products
  %".85" = getelementptr inbounds ptr, ptr %"context", i64 18
  %".86" = load ptr, ptr %".85"
  ; state h ring
  %".92" = getelementptr inbounds i64, ptr %"context", i64 19
  %".93" = load i64, ptr %".92"
  ; state h
  %".96" = getelementptr inbounds ptr, ptr %"context", i64 20
  %".97" = load ptr, ptr %".96"
  ; state h step
  %".99" = getelementptr inbounds i64, ptr %"context", i64 21
  %".100" = load i64, ptr %".99"
  ; state h start
  %".105" = getelementptr inbounds ptr, ptr %"context", i64 22
  %".106" = load ptr, ptr %".105"
  ; state h start row
  %".109" = getelementptr inbounds i64, ptr %"context", i64 23
  %".110" = load i64, ptr %".109"
  ; state h row
  %".112" = getelementptr inbounds i64, ptr %"context", i64 24
  %".113" = load i64, ptr %".112"
  ; adjoint ring
  %".118" = getelementptr inbounds i64, ptr %"context", i64 25
  %".119" = load i64, ptr %".118"
  ; adjoint rows
  %".123" = getelementptr inbounds i64, ptr %"context", i64 26
  %".124" = load i64, ptr %".123"
  ; adjoint H
  %".128" = getelementptr inbounds ptr, ptr %"context", i64 27
  %".129" = load ptr, ptr %".128"
  ; order
  %".146" = getelementptr inbounds ptr, ptr %"context", i64 28
  %".147" = load ptr, ptr %".146"
  ; given output batch
  %".151" = getelementptr inbounds i64, ptr %"context", i64 29
  %".152" = load i64, ptr %".151"
  ; first
  %".155" = getelementptr inbounds ptr, ptr %"context", i64 30
  %".156" = load ptr, ptr %".155"
  ; given output time
  %".160" = getelementptr inbounds i64, ptr %"context", i64 31
  %".161" = load i64, ptr %".160"
  ; given output
  %".165" = getelementptr inbounds ptr, ptr %"context", i64 32
  %".166" = load ptr, ptr %".165"
  ; given output step
  %".168" = getelementptr inbounds i64, ptr %"context", i64 33
  %".169" = load i64, ptr %".168"
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
  %".67" = and i64 %".66", 1
  %".68" = mul i64 %".67", %".19"
  %".69" = add i64 %".68", %"j"
  %".70" = mul i64 %".69", %".54"
  %".74" = mul i64 %".70", 16
  %".75" = getelementptr inbounds float, ptr %".73", i64 %".74"
  %".82" = mul i64 %"thread", %".81"
  %".83" = mul i64 %".82", %".54"
  %".87" = mul i64 %".83", %".78"
  %".88" = getelementptr inbounds float, ptr %".86", i64 %".87"
  %".89" = mul i64 %"q", 16
  %".90" = getelementptr inbounds float, ptr %".88", i64 %".89"
  %".94" = urem i64 %"t", %".93"
  %".101" = mul i64 %".94", %".100"
  %".102" = getelementptr inbounds float, ptr %".97", i64 %".101"
  %".103" = icmp eq i64 %"t", 0
  %".107" = select  i1 %".103", ptr %".106", ptr %".102"
  %".114" = select  i1 %".103", i64 %".110", i64 %".113"
  %".115" = mul i64 %"j", 16
  %".116" = getelementptr inbounds float, ptr %".107", i64 %".115"
  %".120" = urem i64 %"t", %".119"
  %".121" = mul i64 %".120", %".54"
  %".125" = mul i64 %"j", %".124"
  %".126" = add i64 %".125", %".121"
  %".130" = mul i64 %".126", 64
  %".131" = getelementptr inbounds float, ptr %".129", i64 %".130"
  %".132" = load <16 x float>, ptr %".26", align 4
  %".133" = load <16 x float>, ptr %".33", align 4
  %".134" = load <16 x float>, ptr %".40", align 4
  %".135" = load <16 x float>, ptr %".47", align 4
  %".136" = icmp slt i64 %"r0", %"r1"
  br i1 %".136", label %"loop", label %"done"
endif:
  ret void
else:
  %".280" = mul i64 %"j", 16
  %".281" = sub i64 %".14", %".280"
  %".282" = trunc i64 %".281" to i32
  %".283" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".282", i32 0
  %".284" = shufflevector <16 x i32> %".283", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".285" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".284"
  %".286" = mul i64 %"thread", %".19"
  %".287" = add i64 %".286", %"j"
  %".288" = mul i64 %".287", 16
  %".289" = getelementptr inbounds float, ptr %".25", i64 %".288"
  %".290" = mul i64 %"thread", %".19"
  %".291" = add i64 %".290", %"j"
  %".292" = mul i64 %".291", 16
  %".293" = getelementptr inbounds float, ptr %".32", i64 %".292"
  %".294" = mul i64 %"thread", %".19"
  %".295" = add i64 %".294", %"j"
  %".296" = mul i64 %".295", 16
  %".297" = getelementptr inbounds float, ptr %".39", i64 %".296"
  %".298" = mul i64 %"thread", %".19"
  %".299" = add i64 %".298", %"j"
  %".300" = mul i64 %".299", 16
  %".301" = getelementptr inbounds float, ptr %".46", i64 %".300"
  %".302" = urem i64 %"t", %".50"
  %".303" = mul i64 %".302", %".54"
  %".304" = mul i64 %"j", %".58"
  %".305" = add i64 %".304", %".303"
  %".306" = mul i64 %".305", 64
  %".307" = getelementptr inbounds float, ptr %".63", i64 %".306"
  %".308" = add i64 %"t", 1
  %".309" = and i64 %".308", 1
  %".310" = mul i64 %".309", %".19"
  %".311" = add i64 %".310", %"j"
  %".312" = mul i64 %".311", %".54"
  %".313" = mul i64 %".312", 16
  %".314" = getelementptr inbounds float, ptr %".73", i64 %".313"
  %".315" = mul i64 %"thread", %".81"
  %".316" = mul i64 %".315", %".54"
  %".317" = mul i64 %".316", %".78"
  %".318" = getelementptr inbounds float, ptr %".86", i64 %".317"
  %".319" = mul i64 %"q", 16
  %".320" = getelementptr inbounds float, ptr %".318", i64 %".319"
  %".321" = urem i64 %"t", %".93"
  %".322" = mul i64 %".321", %".100"
  %".323" = getelementptr inbounds float, ptr %".97", i64 %".322"
  %".324" = icmp eq i64 %"t", 0
  %".325" = select  i1 %".324", ptr %".106", ptr %".323"
  %".326" = select  i1 %".324", i64 %".110", i64 %".113"
  %".327" = mul i64 %"j", 16
  %".328" = getelementptr inbounds float, ptr %".325", i64 %".327"
  %".329" = urem i64 %"t", %".119"
  %".330" = mul i64 %".329", %".54"
  %".331" = mul i64 %"j", %".124"
  %".332" = add i64 %".331", %".330"
  %".333" = mul i64 %".332", 64
  %".334" = getelementptr inbounds float, ptr %".129", i64 %".333"
  %".335" = load <16 x float>, ptr %".289", align 4
  %".336" = load <16 x float>, ptr %".293", align 4
  %".337" = load <16 x float>, ptr %".297", align 4
  %".338" = load <16 x float>, ptr %".301", align 4
  %".339" = icmp slt i64 %"r0", %"r1"
  br i1 %".339", label %"loop.1", label %"done.1"
loop:
  %".138" = phi  i64 [%"r0", %"then"], [%".264", %"loop"]
  %".139" = phi  <16 x float> [%".132", %"then"], [%".231", %"loop"]
  %".140" = phi  <16 x float> [%".133", %"then"], [%".232", %"loop"]
  %".141" = phi  <16 x float> [%".134", %"then"], [%".233", %"loop"]
  %".142" = phi  <16 x float> [%".135", %"then"], [%".234", %"loop"]
  ; given[output]
  %".144" = mul i64 %"j", 16
  %".148" = getelementptr inbounds i64, ptr %".147", i64 %".138"
  %".149" = load i64, ptr %".148"
  %".153" = mul i64 %".149", %".152"
  %".157" = getelementptr inbounds i64, ptr %".156", i64 %".138"
  %".158" = load i64, ptr %".157"
  %".162" = mul i64 %".158", %".161"
  %".163" = add i64 %".153", %".162"
  %".170" = mul i64 %"t", %".169"
  %".171" = add i64 %".163", %".170"
  %".172" = getelementptr inbounds float, ptr %".166", i64 %".171"
  %".173" = getelementptr inbounds float, ptr %".172", i64 %".144"
  %".174" = load <16 x float>, ptr %".173", align 4
  ; product[0]
  %".176" = mul i64 %".138", %".78"
  %".177" = getelementptr inbounds float, ptr %".90", i64 %".176"
  %".178" = load <16 x float>, ptr %".177", align 4
  ; carry[0]
  %".180" = mul i64 %".138", 16
  %".181" = getelementptr inbounds float, ptr %".75", i64 %".180"
  %".182" = load <16 x float>, ptr %".181", align 4
  %".183" = fadd contract <16 x float> %".178", %".182"
  ; ∂h_t
  %".185" = fadd contract <16 x float> %".174", %".183"
  ; value[H, 0]: z_t
  %".187" = mul i64 %".138", 64
  %".188" = getelementptr inbounds float, ptr %".65", i64 %".187"
  %".189" = load <16 x float>, ptr %".188", align 4
  %".190" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".189"
  ; ∂n_t
  %".192" = fmul contract <16 x float> %".185", %".190"
  ; value[H, 3]: n_t
  %".194" = mul i64 %".138", 64
  %".195" = getelementptr inbounds float, ptr %".65", i64 %".194"
  %".196" = getelementptr inbounds float, ptr %".195", i64 48
  %".197" = load <16 x float>, ptr %".196", align 4
  %".198" = fmul contract <16 x float> %".197", %".197"
  %".199" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".198"
  ; ∂n_pre_t
  %".201" = fmul contract <16 x float> %".192", %".199"
  ; state[h]: h_{t-1}
  %".203" = mul i64 %".138", %".114"
  %".204" = getelementptr inbounds float, ptr %".116", i64 %".203"
  %".205" = load <16 x float>, ptr %".204", align 4
  %".206" = fmul contract <16 x float> %".185", %".205"
  %".207" = fmul contract <16 x float> %".185", %".197"
  ; ∂z_t
  %".209" = fsub contract <16 x float> %".206", %".207"
  %".210" = fmul contract <16 x float> %".209", %".190"
  ; ∂z_pre_t
  %".212" = fmul contract <16 x float> %".210", %".189"
  ; value[H, 2]
  %".214" = mul i64 %".138", 64
  %".215" = getelementptr inbounds float, ptr %".65", i64 %".214"
  %".216" = getelementptr inbounds float, ptr %".215", i64 32
  %".217" = load <16 x float>, ptr %".216", align 4
  ; ∂r_t
  %".219" = fmul contract <16 x float> %".201", %".217"
  ; value[H, 1]: r_t
  %".221" = mul i64 %".138", 64
  %".222" = getelementptr inbounds float, ptr %".65", i64 %".221"
  %".223" = getelementptr inbounds float, ptr %".222", i64 16
  %".224" = load <16 x float>, ptr %".223", align 4
  %".225" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".224"
  %".226" = fmul contract <16 x float> %".219", %".225"
  ; ∂r_pre_t
  %".228" = fmul contract <16 x float> %".226", %".224"
  %".229" = fmul contract <16 x float> %".201", %".224"
  %".230" = fmul contract <16 x float> %".185", %".189"
  %".231" = fadd <16 x float> %".139", %".212"
  %".232" = fadd <16 x float> %".140", %".201"
  %".233" = fadd <16 x float> %".141", %".228"
  %".234" = fadd <16 x float> %".142", %".229"
  ; adjoint[H, 0] = ∂n_pre_t
  %".236" = mul i64 %".138", 64
  %".237" = getelementptr inbounds float, ptr %".131", i64 %".236"
  store <16 x float> %".201", ptr %".237", align 4
  ; adjoint[H, 1] = ∂z_pre_t
  %".240" = mul i64 %".138", 64
  %".241" = getelementptr inbounds float, ptr %".131", i64 %".240"
  %".242" = getelementptr inbounds float, ptr %".241", i64 16
  store <16 x float> %".212", ptr %".242", align 4
  ; adjoint[H, 2] = ∂r_pre_t
  %".245" = mul i64 %".138", 64
  %".246" = getelementptr inbounds float, ptr %".131", i64 %".245"
  %".247" = getelementptr inbounds float, ptr %".246", i64 32
  store <16 x float> %".228", ptr %".247", align 4
  ; adjoint[H, 3]
  %".250" = mul i64 %".138", 64
  %".251" = getelementptr inbounds float, ptr %".131", i64 %".250"
  %".252" = getelementptr inbounds float, ptr %".251", i64 48
  store <16 x float> %".229", ptr %".252", align 4
  ; carry[0]
  %".255" = and i64 %"t", 1
  %".256" = mul i64 %".255", %".19"
  %".257" = add i64 %".256", %"j"
  %".258" = mul i64 %".257", %".54"
  %".259" = mul i64 %".258", 16
  %".260" = getelementptr inbounds float, ptr %".73", i64 %".259"
  %".261" = mul i64 %".138", 16
  %".262" = getelementptr inbounds float, ptr %".260", i64 %".261"
  store <16 x float> %".230", ptr %".262", align 4
  %".264" = add i64 %".138", 1
  %".265" = icmp slt i64 %".264", %"r1"
  br i1 %".265", label %"loop", label %"done"
done:
  %".267" = phi  <16 x float> [%".132", %"then"], [%".231", %"loop"]
  %".268" = phi  <16 x float> [%".133", %"then"], [%".232", %"loop"]
  %".269" = phi  <16 x float> [%".134", %"then"], [%".233", %"loop"]
  %".270" = phi  <16 x float> [%".135", %"then"], [%".234", %"loop"]
  ; total[b_z] = ∂z_pre_t
  store <16 x float> %".267", ptr %".26", align 4
  ; total[b_n_x] = ∂n_pre_t
  store <16 x float> %".268", ptr %".33", align 4
  ; total[b_r] = ∂r_pre_t
  store <16 x float> %".269", ptr %".40", align 4
  ; total[b_n_h]
  store <16 x float> %".270", ptr %".47", align 4
  br label %"endif"
loop.1:
  %".341" = phi  i64 [%"r0", %"else"], [%".453", %"loop.1"]
  %".342" = phi  <16 x float> [%".335", %"else"], [%".416", %"loop.1"]
  %".343" = phi  <16 x float> [%".336", %"else"], [%".417", %"loop.1"]
  %".344" = phi  <16 x float> [%".337", %"else"], [%".418", %"loop.1"]
  %".345" = phi  <16 x float> [%".338", %"else"], [%".419", %"loop.1"]
  ; given[output]
  %".347" = mul i64 %"j", 16
  %".348" = getelementptr inbounds i64, ptr %".147", i64 %".341"
  %".349" = load i64, ptr %".348"
  %".350" = mul i64 %".349", %".152"
  %".351" = getelementptr inbounds i64, ptr %".156", i64 %".341"
  %".352" = load i64, ptr %".351"
  %".353" = mul i64 %".352", %".161"
  %".354" = add i64 %".350", %".353"
  %".355" = mul i64 %"t", %".169"
  %".356" = add i64 %".354", %".355"
  %".357" = getelementptr inbounds float, ptr %".166", i64 %".356"
  %".358" = getelementptr inbounds float, ptr %".357", i64 %".347"
  %".359" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".358", i32 4, <16 x i1> %".285", <16 x float> splat (float              0x0))
  ; product[0]
  %".361" = mul i64 %".341", %".78"
  %".362" = getelementptr inbounds float, ptr %".320", i64 %".361"
  %".363" = load <16 x float>, ptr %".362", align 4
  ; carry[0]
  %".365" = mul i64 %".341", 16
  %".366" = getelementptr inbounds float, ptr %".314", i64 %".365"
  %".367" = load <16 x float>, ptr %".366", align 4
  %".368" = fadd contract <16 x float> %".363", %".367"
  ; ∂h_t
  %".370" = fadd contract <16 x float> %".359", %".368"
  ; value[H, 0]: z_t
  %".372" = mul i64 %".341", 64
  %".373" = getelementptr inbounds float, ptr %".307", i64 %".372"
  %".374" = load <16 x float>, ptr %".373", align 4
  %".375" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".374"
  ; ∂n_t
  %".377" = fmul contract <16 x float> %".370", %".375"
  ; value[H, 3]: n_t
  %".379" = mul i64 %".341", 64
  %".380" = getelementptr inbounds float, ptr %".307", i64 %".379"
  %".381" = getelementptr inbounds float, ptr %".380", i64 48
  %".382" = load <16 x float>, ptr %".381", align 4
  %".383" = fmul contract <16 x float> %".382", %".382"
  %".384" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".383"
  ; ∂n_pre_t
  %".386" = fmul contract <16 x float> %".377", %".384"
  ; state[h]: h_{t-1}
  %".388" = mul i64 %".341", %".326"
  %".389" = getelementptr inbounds float, ptr %".328", i64 %".388"
  %".390" = call <16 x float> @"llvm.masked.load.v16f32.p0"(ptr %".389", i32 4, <16 x i1> %".285", <16 x float> splat (float              0x0))
  %".391" = fmul contract <16 x float> %".370", %".390"
  %".392" = fmul contract <16 x float> %".370", %".382"
  ; ∂z_t
  %".394" = fsub contract <16 x float> %".391", %".392"
  %".395" = fmul contract <16 x float> %".394", %".375"
  ; ∂z_pre_t
  %".397" = fmul contract <16 x float> %".395", %".374"
  ; value[H, 2]
  %".399" = mul i64 %".341", 64
  %".400" = getelementptr inbounds float, ptr %".307", i64 %".399"
  %".401" = getelementptr inbounds float, ptr %".400", i64 32
  %".402" = load <16 x float>, ptr %".401", align 4
  ; ∂r_t
  %".404" = fmul contract <16 x float> %".386", %".402"
  ; value[H, 1]: r_t
  %".406" = mul i64 %".341", 64
  %".407" = getelementptr inbounds float, ptr %".307", i64 %".406"
  %".408" = getelementptr inbounds float, ptr %".407", i64 16
  %".409" = load <16 x float>, ptr %".408", align 4
  %".410" = fsub contract <16 x float> splat (float 0x3ff0000000000000), %".409"
  %".411" = fmul contract <16 x float> %".404", %".410"
  ; ∂r_pre_t
  %".413" = fmul contract <16 x float> %".411", %".409"
  %".414" = fmul contract <16 x float> %".386", %".409"
  %".415" = fmul contract <16 x float> %".370", %".374"
  %".416" = fadd <16 x float> %".342", %".397"
  %".417" = fadd <16 x float> %".343", %".386"
  %".418" = fadd <16 x float> %".344", %".413"
  %".419" = fadd <16 x float> %".345", %".414"
  ; adjoint[H, 0] = ∂n_pre_t
  %".421" = select  <16 x i1> %".285", <16 x float> %".386", <16 x float> splat (float              0x0)
  %".422" = mul i64 %".341", 64
  %".423" = getelementptr inbounds float, ptr %".334", i64 %".422"
  store <16 x float> %".421", ptr %".423", align 4
  ; adjoint[H, 1] = ∂z_pre_t
  %".426" = select  <16 x i1> %".285", <16 x float> %".397", <16 x float> splat (float              0x0)
  %".427" = mul i64 %".341", 64
  %".428" = getelementptr inbounds float, ptr %".334", i64 %".427"
  %".429" = getelementptr inbounds float, ptr %".428", i64 16
  store <16 x float> %".426", ptr %".429", align 4
  ; adjoint[H, 2] = ∂r_pre_t
  %".432" = select  <16 x i1> %".285", <16 x float> %".413", <16 x float> splat (float              0x0)
  %".433" = mul i64 %".341", 64
  %".434" = getelementptr inbounds float, ptr %".334", i64 %".433"
  %".435" = getelementptr inbounds float, ptr %".434", i64 32
  store <16 x float> %".432", ptr %".435", align 4
  ; adjoint[H, 3]
  %".438" = select  <16 x i1> %".285", <16 x float> %".414", <16 x float> splat (float              0x0)
  %".439" = mul i64 %".341", 64
  %".440" = getelementptr inbounds float, ptr %".334", i64 %".439"
  %".441" = getelementptr inbounds float, ptr %".440", i64 48
  store <16 x float> %".438", ptr %".441", align 4
  ; carry[0]
  %".444" = and i64 %"t", 1
  %".445" = mul i64 %".444", %".19"
  %".446" = add i64 %".445", %"j"
  %".447" = mul i64 %".446", %".54"
  %".448" = mul i64 %".447", 16
  %".449" = getelementptr inbounds float, ptr %".73", i64 %".448"
  %".450" = mul i64 %".341", 16
  %".451" = getelementptr inbounds float, ptr %".449", i64 %".450"
  store <16 x float> %".415", ptr %".451", align 4
  %".453" = add i64 %".341", 1
  %".454" = icmp slt i64 %".453", %"r1"
  br i1 %".454", label %"loop.1", label %"done.1"
done.1:
  %".456" = phi  <16 x float> [%".335", %"else"], [%".416", %"loop.1"]
  %".457" = phi  <16 x float> [%".336", %"else"], [%".417", %"loop.1"]
  %".458" = phi  <16 x float> [%".337", %"else"], [%".418", %"loop.1"]
  %".459" = phi  <16 x float> [%".338", %"else"], [%".419", %"loop.1"]
  ; total[b_z] = ∂z_pre_t
  store <16 x float> %".456", ptr %".289", align 4
  ; total[b_n_x] = ∂n_pre_t
  store <16 x float> %".457", ptr %".293", align 4
  ; total[b_r] = ∂r_pre_t
  store <16 x float> %".458", ptr %".297", align 4
  ; total[b_n_h]
  store <16 x float> %".459", ptr %".301", align 4
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
  ; blocks H
  %".20" = getelementptr inbounds i64, ptr %"context", i64 7
  %".21" = load i64, ptr %".20"
  ; B
  %".25" = getelementptr inbounds i64, ptr %"context", i64 3
  %".26" = load i64, ptr %".25"
  ; carry 0
  %".29" = getelementptr inbounds ptr, ptr %"context", i64 15
  %".30" = load ptr, ptr %".29"
  ; scratch row
  %".34" = getelementptr inbounds i64, ptr %"context", i64 16
  %".35" = load i64, ptr %".34"
  ; product count
  %".37" = getelementptr inbounds i64, ptr %"context", i64 17
  %".38" = load i64, ptr %".37"
  ; products
  %".42" = getelementptr inbounds ptr, ptr %"context", i64 18
  %".43" = load ptr, ptr %".42"
  ; initial_adjoint h
  %".63" = getelementptr inbounds ptr, ptr %"context", i64 34
  %".64" = load ptr, ptr %".63"
  ; order
  %".66" = getelementptr inbounds ptr, ptr %"context", i64 28
  %".67" = load ptr, ptr %".66"
  ; initial_adjoint h batch
  %".71" = getelementptr inbounds i64, ptr %"context", i64 35
  %".72" = load i64, ptr %".71"
  br i1 %".15", label %"then", label %"else"
then:
  %".17" = add i64 %"t", 1
  %".18" = and i64 %".17", 1
  %".22" = mul i64 %".18", %".21"
  %".23" = add i64 %".22", %"j"
  %".27" = mul i64 %".23", %".26"
  %".31" = mul i64 %".27", 16
  %".32" = getelementptr inbounds float, ptr %".30", i64 %".31"
  %".39" = mul i64 %"thread", %".38"
  %".40" = mul i64 %".39", %".26"
  %".44" = mul i64 %".40", %".35"
  %".45" = getelementptr inbounds float, ptr %".43", i64 %".44"
  %".46" = mul i64 %"q", 16
  %".47" = getelementptr inbounds float, ptr %".45", i64 %".46"
  %".48" = icmp slt i64 %"r0", %"r1"
  br i1 %".48", label %"loop", label %"done"
endif:
  ret void
else:
  %".81" = mul i64 %"j", 16
  %".82" = sub i64 %".14", %".81"
  %".83" = trunc i64 %".82" to i32
  %".84" = insertelement <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, i32 %".83", i32 0
  %".85" = shufflevector <16 x i32> %".84", <16 x i32> <i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef, i32 undef>, <16 x i32> splat (i32 0)
  %".86" = icmp slt <16 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7, i32 8, i32 9, i32 10, i32 11, i32 12, i32 13, i32 14, i32 15>, %".85"
  %".87" = add i64 %"t", 1
  %".88" = and i64 %".87", 1
  %".89" = mul i64 %".88", %".21"
  %".90" = add i64 %".89", %"j"
  %".91" = mul i64 %".90", %".26"
  %".92" = mul i64 %".91", 16
  %".93" = getelementptr inbounds float, ptr %".30", i64 %".92"
  %".94" = mul i64 %"thread", %".38"
  %".95" = mul i64 %".94", %".26"
  %".96" = mul i64 %".95", %".35"
  %".97" = getelementptr inbounds float, ptr %".43", i64 %".96"
  %".98" = mul i64 %"q", 16
  %".99" = getelementptr inbounds float, ptr %".97", i64 %".98"
  %".100" = icmp slt i64 %"r0", %"r1"
  br i1 %".100", label %"loop.1", label %"done.1"
loop:
  %".50" = phi  i64 [%"r0", %"then"], [%".77", %"loop"]
  ; product[0]
  %".52" = mul i64 %".50", %".35"
  %".53" = getelementptr inbounds float, ptr %".47", i64 %".52"
  %".54" = load <16 x float>, ptr %".53", align 4
  ; carry[0]
  %".56" = mul i64 %".50", 16
  %".57" = getelementptr inbounds float, ptr %".32", i64 %".56"
  %".58" = load <16 x float>, ptr %".57", align 4
  %".59" = fadd contract <16 x float> %".54", %".58"
  ; initial_adjoint[h]
  %".61" = mul i64 %"j", 16
  %".68" = getelementptr inbounds i64, ptr %".67", i64 %".50"
  %".69" = load i64, ptr %".68"
  %".73" = mul i64 %".69", %".72"
  %".74" = getelementptr inbounds float, ptr %".64", i64 %".73"
  %".75" = getelementptr inbounds float, ptr %".74", i64 %".61"
  store <16 x float> %".59", ptr %".75", align 4
  %".77" = add i64 %".50", 1
  %".78" = icmp slt i64 %".77", %"r1"
  br i1 %".78", label %"loop", label %"done"
done:
  br label %"endif"
loop.1:
  %".102" = phi  i64 [%"r0", %"else"], [%".120", %"loop.1"]
  ; product[0]
  %".104" = mul i64 %".102", %".35"
  %".105" = getelementptr inbounds float, ptr %".99", i64 %".104"
  %".106" = load <16 x float>, ptr %".105", align 4
  ; carry[0]
  %".108" = mul i64 %".102", 16
  %".109" = getelementptr inbounds float, ptr %".93", i64 %".108"
  %".110" = load <16 x float>, ptr %".109", align 4
  %".111" = fadd contract <16 x float> %".106", %".110"
  ; initial_adjoint[h]
  %".113" = mul i64 %"j", 16
  %".114" = getelementptr inbounds i64, ptr %".67", i64 %".102"
  %".115" = load i64, ptr %".114"
  %".116" = mul i64 %".115", %".72"
  %".117" = getelementptr inbounds float, ptr %".64", i64 %".116"
  %".118" = getelementptr inbounds float, ptr %".117", i64 %".113"
  call void @"llvm.masked.store.v16f32.p0"(<16 x float> %".111", ptr %".118", i32 4, <16 x i1> %".86")
  %".120" = add i64 %".102", 1
  %".121" = icmp slt i64 %".120", %"r1"
  br i1 %".121", label %"loop.1", label %"done.1"
done.1:
  br label %"endif"
}
