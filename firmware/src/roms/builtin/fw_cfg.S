# The fw_cfg device: its directory of files, its DMA.

# Finds the device and has it copy its directory of files.
read_directory:
        movl    $directory_name, item
        movl    $text_no_dma, %esi
        movw    $DMA_ADDRESS, %dx
        inl     %dx, %eax
        cmpl    $0x554d4551, %eax       # "QEMU"
        jne     fail
        movw    $DMA_ADDRESS + 4, %dx
        inl     %dx, %eax
        cmpl    $0x47464320, %eax       # " CFG"
        jne     fail
        movl    $KEY_DIRECTORY, %eax
        call    read_value
        bswap   %ecx                    # how many files
        cmpl    $(SCRATCH_END - SCRATCH) / FILE_ENTRY, %ecx
        ja      no_room
        shll    $6, %ecx
        movl    $SCRATCH, %edi
        leal    (%edi,%ecx), %eax
        movl    %eax, scratch
        movl    %eax, directory_end
        movl    $DMA_READ, %eax
        jmp     transfer

# Answers with the entry of the file whose name %esi points to, in %ebx; carry: there is none. Keeps %esi.
find:   movl    %esi, item
        movl    $SCRATCH, %ebx
1:      cmpl    %ebx, directory_end
        jbe     4f
        pushl   %esi
        leal    FILE_NAME(%ebx), %edi
2:      lodsb
        scasb
        jne     3f
        testb   %al, %al
        jnz     2b
3:      popl    %esi
        je      5f
        addl    $FILE_ENTRY, %ebx
        jmp     1b
4:      stc
5:      ret

# The same for a file that has to be there.
need:   call    find
        jc      missing
        ret

# Bits 16 to 31 of %eax: the key of the file at %ebx.
file_key:
        movzwl  FILE_KEY(%ebx), %eax
        xchgb   %al, %ah
        shll    $16, %eax
        ret

# %ecx: bytes of the file at %ebx.
file_size:
        movl    FILE_SIZE(%ebx), %ecx
        bswap   %ecx
        ret

# Copies the file at %ebx to scratch memory; %edi: where that is.
load_scratch:
        call    file_size
        movl    scratch, %edi
        movl    %edi, %eax
        addl    %ecx, %eax
        jc      no_room
        cmpl    $SCRATCH_END, %eax
        ja      no_room
        movl    %eax, scratch

# Copies the file at %ebx to %edi.
load:   leal    FILE_NAME(%ebx), %eax
        movl    %eax, item
        call    file_size
        call    file_key
        orb     $DMA_SELECT | DMA_READ, %al
        jmp     transfer

# %ecx: the u32 that is item %eax.
read_value:
        movl    $4, %ecx
        movl    $value, %edi
        call    read
        movl    value, %ecx
        ret

# Reads %ecx bytes of item %eax to %edi. What the item does not have becomes zeros, and is no error.
read:   shll    $16, %eax
        orb     $DMA_SELECT | DMA_READ, %al

# Runs an operation: %eax = control, %ecx = bytes, %edi = address. Keeps all registers but %eax and %edx.
transfer:
        call    dma
        jz      1f
        movl    $text_dma_error, %esi
        jmp     fail
1:      ret

# The same; not zero: there was an error.
dma:    bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    %edi, descriptor + 12
        bswap   %edi
        bswap   %ecx
        movl    $descriptor, %eax
        bswap   %eax
        movw    $DMA_ADDRESS + 4, %dx
        outl    %eax, %dx
1:      movl    descriptor, %eax        # QEMU and chukka are done now; another device may take its time.
        bswap   %eax
        testl   $~DMA_ERROR, %eax
        jz      2f
        pause
        jmp     1b
2:      testl   %eax, %eax
        ret
