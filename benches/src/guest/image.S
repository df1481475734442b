# A guest that measures the fw_cfg DMA transfer of an initrd: 64 KiB of firmware, which run unchanged as -bios in chukka and in QEMU.
#
# It moves the whole of -initrd by one DMA operation to a fixed place, then reads a word of every page, and again; as often as the first
# word of -append says. Each round is timed with the TSC and told on the debug console as a record of bytes (`record`, below).
# Before each round but the first the guest spoils what the round before left, so that a transfer that does nothing shows in the sum. It
# ends by isa-debug-exit at port 0xf4, with one of the values below.
#
# Machine: what every PC has, and fw_cfg with DMA, isa-debugcon at 0xe9, isa-debug-exit at 0xf4. 1 GiB of memory is mapped one to one by
# pages of 2 MiB, and all that is measured runs in 64-bit user mode, with the right to use ports: there are KVMs (PVM) that run user
# mode on the processor, and everything else instruction by instruction in software, at some 2 microseconds each.
#
# Sources: fw_cfg - docs/specs/fw_cfg.rst in QEMU; ways into 64-bit mode and out of ring 0 - Intel's manual, volume 3, 9.8.5, and volume
# 2, SYSEXIT; AMD's processors have no SYSEXIT in 64-bit mode, Intel's under PVM no IRET.

        .arch   generic64

# Ports, a DMA descriptor's control word, the keys of items.
        .set    DMA_ADDRESS, 0x514      # reads as "QEMU CFG"; writing a descriptor's address to its second half starts it
        .set    DEBUGCON, 0xe9
        .set    DEBUG_EXIT, 0xf4
        .set    READ_SELECT, 0x0a       # READ (2) and SELECT (8) of the item in bits 16 to 31
        .set    KEY_SIGNATURE, 0x00
        .set    KEY_INITRD_SIZE, 0x0b
        .set    KEY_INITRD_DATA, 0x12
        .set    KEY_CMDLINE_DATA, 0x15

# How it ends. src/guest.rs has the same list.
        .set    DONE, 0x10
        .set    NO_DMA, 0x11            # there is no fw_cfg DMA
        .set    DMA_FAILED, 0x12        # an operation ended with ERROR
        .set    BAD_SIZE, 0x13          # the initrd is no whole number of pages, or there is no room for it
        .set    NO_ROUNDS, 0x14         # the command line does not begin with a number

        .set    IMAGE, 0xf0000          # where the firmware is seen below 1 MiB
        .set    IMAGE_SIZE, 0x10000
        .set    PAGE, 0x1000
        .set    INITRD, 0x1000000       # where it goes
        .set    MAPPED, 0x40000000      # memory that has page tables

# Low RAM.
        .struct 0x1000
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
value:          .skip 4
cmdline:        .skip 16
start_time:     .skip 8

# What is told of a round, little-endian. src/guest.rs reads it.
record:         .skip 4                 # "TIME"
state:          .skip 4                 # of the memory before: 0 untouched, 1 read, 2 written
empty:          .skip 8                 # cycles of an operation that moves 4 bytes,
transfer:       .skip 8                 #   of the transfer of the initrd,
read:           .skip 8                 #   of reading a word of every page,
again:          .skip 8                 #   of reading them again
sum:            .skip 4                 # of the words,
sum_again:      .skip 4                 #   and the second time
record_end:
        .struct 0x7000
stack:
        .struct 0x10000                 # page tables: one of each level
pml4:           .skip PAGE
pdpt:           .skip PAGE
directory:      .skip PAGE

# ---- from the reset vector to 64-bit mode ----------------------------------------------------------------------------
        .text
image:
        .code16
start:  cli
        cld
        lgdtl   %cs:gdt_register - image
        movl    $0x11, %eax             # CR0: protection on; caches, which a reset switches off, on
        movl    %eax, %cr0
        ljmpl   $CODE32, $protected

# "Accessed" is set, as a ROM cannot be written to. SYSEXIT takes the selectors 32 and 40 above the one in its MSR.
        .balign 8
gdt:    .quad   0
        .set    CODE32, . - gdt
        .quad   0x00cf9b000000ffff
        .set    DATA, . - gdt
        .quad   0x00cf93000000ffff
        .set    CODE64, . - gdt
        .quad   0x00af9b000000ffff
        .quad   0
        .set    USER_CODE, . - gdt + 3
        .quad   0x00affb000000ffff
        .set    USER_DATA, . - gdt + 3
        .quad   0x00cff3000000ffff
gdt_register:
        .word   . - gdt - 1
        .long   gdt

        .code32
protected:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack, %esp
        movl    $pml4, %edi
        movl    $3 * PAGE / 4, %ecx
        xorl    %eax, %eax
        rep stosl
        movl    $pdpt + 7, pml4         # present, writable, user
        movl    $directory + 7, pdpt
        movl    $directory, %edi
        movl    $0x87, %eax             # the same, a page of 2 MiB
1:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $0x200000, %eax
        cmpl    $MAPPED, %eax
        jb      1b
        movl    $0x20, %eax             # CR4: PAE
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       # EFER: LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    $0x80000011, %eax       # CR0: paging on
        movl    %eax, %cr0
        ljmpl   $CODE64, $long

        .code64
long:   pushq   $0x3002                 # I/O privilege level 3, interrupts off
        popfq
        xorl    %eax, %eax
        cpuid
        cmpl    $0x756e6547, %ebx       # "Genu"
        jne     1f
        movl    $0x174, %ecx            # SYSENTER_CS
        movl    $USER_CODE - 3 - 32, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $stack, %ecx
        movl    $user, %edx
        sysexitq
1:      pushq   $USER_DATA
        pushq   $stack
        pushq   $0x3002
        pushq   $USER_CODE
        pushq   $user
        iretq

# ---- user mode: what is asked for ------------------------------------------------------------------------------------
user:   movl    $NO_DMA, %ebx
        movw    $DMA_ADDRESS, %dx
        inl     %dx, %eax
        cmpl    $0x554d4551, %eax       # "QEMU"
        jne     end
        movw    $DMA_ADDRESS + 4, %dx
        inl     %dx, %eax
        cmpl    $0x47464320, %eax       # " CFG"
        jne     end

        movl    $KEY_CMDLINE_DATA, %eax
        movl    $15, %ecx               # the byte after it stays 0
        movl    $cmdline, %edi
        call    fetch
        movl    $cmdline, %esi
        xorl    %r12d, %r12d            # how many rounds are left
1:      lodsb
        subb    $'0', %al
        cmpb    $9, %al
        ja      2f
        movzbl  %al, %eax
        imull   $10, %r12d
        addl    %eax, %r12d
        jmp     1b
2:      movl    $NO_ROUNDS, %ebx
        testl   %r12d, %r12d
        jz      end

        movl    $KEY_INITRD_SIZE, %eax
        movl    $4, %ecx
        movl    $value, %edi
        call    fetch
        movl    value, %r13d            # its size
        movl    $BAD_SIZE, %ebx
        testl   $PAGE - 1, %r13d
        jnz     end
        leal    -1(%r13), %eax          # nothing at all is too much, too
        cmpl    $MAPPED - INITRD, %eax
        jae     end
        leal    INITRD(%r13), %r14d     # its end

# ---- the rounds ------------------------------------------------------------------------------------------------------
        movl    $0x454d4954, record     # "TIME"
        movl    $0, state
round:  movl    $KEY_SIGNATURE, %eax
        movl    $4, %ecx
        movl    $value, %edi
        call    fetch
        movq    %rax, empty
        movl    $KEY_INITRD_DATA, %eax
        movl    %r13d, %ecx
        movl    $INITRD, %edi
        call    fetch
        movq    %rax, transfer
        call    read_pages
        movq    %rax, read
        movl    %ecx, sum
        call    read_pages
        movq    %rax, again
        movl    %ecx, sum_again
        movl    $record, %esi
        movl    $record_end - record, %ecx
        movw    $DEBUGCON, %dx
        rep outsb
        movl    $DONE, %ebx
        decl    %r12d
        jz      end

# Spoils the first and the last page, or, every second time, all of them.
        movl    $INITRD, %esi
        cmpl    $1, state
        je      1f
        movl    $1, state
        notl    (%rsi)
        notl    -PAGE(%r14)
        jmp     round
1:      movl    $2, state
2:      notl    (%rsi)
        addl    $PAGE, %esi
        cmpl    %r14d, %esi
        jb      2b
        jmp     round

# Ends the run with the value %ebx.
end:    movl    %ebx, %eax
        movw    $DEBUG_EXIT, %dx
        outl    %eax, %dx
1:      pause
        jmp     1b

# ---- what is timed ---------------------------------------------------------------------------------------------------
# Sums up the first word of each page. %rax: cycles, %ecx: sum.
read_pages:
        call    begin
        movl    $INITRD, %esi
        xorl    %ecx, %ecx
1:      addl    (%rsi), %ecx
        addl    $PAGE, %esi
        cmpl    %r14d, %esi
        jb      1b
        jmp     cycles

# Reads %ecx bytes of item %eax from its start to %edi. %rax: cycles of the operation.
fetch:  shll    $16, %eax
        orb     $READ_SELECT, %al
        bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    $0, descriptor + 8
        movl    %edi, descriptor + 12
        call    begin
        movl    $descriptor, %eax
        bswap   %eax
        movw    $DMA_ADDRESS + 4, %dx
        outl    %eax, %dx
1:      testl   $0xfeffffff, descriptor # all but ERROR, big-endian; QEMU and chukka are done now
        jz      2f
        pause
        jmp     1b
2:      call    cycles
        movl    $DMA_FAILED, %ebx
        cmpl    $0, descriptor
        jne     end
        ret

# Starts the clock.
begin:  rdtsc
        movl    %eax, start_time
        movl    %edx, start_time + 4
        ret

# %rax: cycles since then.
cycles: rdtsc
        shlq    $32, %rdx
        orq     %rdx, %rax
        subq    start_time, %rax
        ret

        .org    IMAGE_SIZE - 16         # where the processor starts
        .code16
        ljmp    $IMAGE >> 4, $start - image
        .org    IMAGE_SIZE
